# The lab as an image: `docker build -t jissho-lab .`, then
#   docker run --rm --init -p 127.0.0.1:8000:8000 -v lab-data:/data jissho-lab
# runs `lab up` with everything in one container; docker-compose.yml runs each part in its own.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/lab
WORKDIR /src
# What is pinned changes less often than the code: it has a layer of its own.
COPY requirements/influx.txt requirements/influx.txt
RUN /opt/lab/bin/pip install --require-hashes -r requirements/influx.txt
COPY pyproject.toml README.md LICENSE ./
COPY simulators simulators
COPY models models
COPY devices devices
COPY lab lab
COPY api api
RUN /opt/lab/bin/pip install --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends mosquitto \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --shell /usr/sbin/nologin lab \
    && install -d -o lab -g lab /data
COPY --from=build /opt/lab /opt/lab
ENV PATH=/opt/lab/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LAB_DATA_DIR=/data \
    LAB_API_HOST=0.0.0.0
USER lab
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["lab"]
CMD ["up"]
