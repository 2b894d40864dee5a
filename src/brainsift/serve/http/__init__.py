"""HTTP: application, server, middleware, routes.

Modules: app, server, framed, service, middleware, requests, responses, routes, history_routes, contour_routes.
May import: core, images, volumes, inference, pages, serve, serve.scoring, serve.history.
"""
