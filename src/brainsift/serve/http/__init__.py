"""HTTP: application, server, middleware, routes.

Modules: app, server, service, middleware, requests, responses, routes, history_routes, contour_routes.
May import: core, images, volumes, inference, pages, serve, serve.scoring, serve.history.
"""
