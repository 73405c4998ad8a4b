# LlamaChat in a container: docs/deploy.md says how to run it.
#
#   docker build -t llamachat .                              models on the CPU
#   docker build -t llamachat --build-arg BACKEND=cuda .     models on NVIDIA GPUs
ARG BACKEND=cpu
ARG CUDA=12.8.1

FROM debian:bookworm-slim AS base-cpu
FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS base-cuda

FROM base-${BACKEND} AS python
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/*

FROM python AS installed
COPY . /src
RUN python3 -m venv /opt/llamachat && /opt/llamachat/bin/pip install --no-cache-dir /src

FROM python
ARG BACKEND=cpu
# A compiler, for a processor that no ready-made build of llama.cpp is right for.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /data --no-create-home llamachat \
    && install --directory --owner llamachat --group llamachat --mode 0700 /data
COPY --from=installed /opt/llamachat /opt/llamachat

# Models, commands, logs, own settings (modulesettings.json), and what the chat runs on.
ENV LLAMACHAT_DATA_DIR=/data \
    LLAMACHAT_CONFIG_DIR=/data \
    LLAMACHAT_CACHE_DIR=/data/cache \
    PIP_NO_CACHE_DIR=1 \
    PATH=/opt/llamachat/bin:$PATH
USER 10001:10001
WORKDIR /data
# A new volume begins with this. On another processor than this one, and for a GPU, which is not to
# be seen while an image is built, the first start does it anew.
RUN [ "$BACKEND" = cuda ] || llamachat setup
VOLUME /data

EXPOSE 32168
HEALTHCHECK --interval=30s --timeout=5s --start-period=15m --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:32168/health', timeout=4)"]
# Inside, every address: which ones of the machine lead here, `docker run -p` says. It starts when there are
# keys: docker run --rm -v llamachat:/data llamachat llamachat keys add NAME
CMD ["llamachat", "serve", "--host", "0.0.0.0"]
