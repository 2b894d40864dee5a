# brainsift serve, without root and without anything that it does not need at run time. See docs/serve.md.

FROM python:3.11-slim AS build
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
ARG EXTRAS=""
RUN python -m venv /opt/brainsift \
    && /opt/brainsift/bin/pip install --no-cache-dir -c constraints.txt ".${EXTRAS}" \
    && /opt/brainsift/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim
LABEL org.opencontainers.image.title="brainsift" \
      org.opencontainers.image.description="Tumor or not, in slices of brain MRI. Research use only." \
      org.opencontainers.image.licenses="Apache-2.0"
# A named volume that is mounted on /data for the first time takes over its owner and mode.
RUN pip uninstall --yes --root-user-action ignore setuptools wheel pip \
    && groupadd --gid 10001 brainsift \
    && useradd --uid 10001 --gid brainsift --no-create-home --shell /usr/sbin/nologin brainsift \
    && install --directory --owner brainsift --group brainsift --mode 700 /data
COPY --from=build /opt/brainsift /opt/brainsift
ENV PATH=/opt/brainsift/bin:$PATH \
    OPENBLAS_NUM_THREADS=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /data
USER 10001:10001
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8765/healthz', timeout=4)"]
# Beyond loopback it starts with a token only: BRAINSIFT_TOKEN.
ENTRYPOINT ["brainsift", "serve", "--host", "0.0.0.0", "--port", "8765", "--no-browser"]
