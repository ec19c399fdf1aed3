# Builds and runs the gateway: docker build -t warmline . && docker run -p 8787:8787 --env-file .env warmline serve --host 0.0.0.0
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev cmake make && rm -rf /var/lib/apt/lists/*
WORKDIR /warmline
COPY . .
# Keeps downloaded and built dependencies between builds. The features that are left out are the simulator and the load test.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=target \
    cargo build --release --locked --package warmline-cli --bin warmline --no-default-features \
    && strip -o /usr/local/bin/warmline target/release/warmline

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home warmline
COPY --from=build /usr/local/bin/warmline /usr/local/bin/
USER warmline
# The command reads `.env` in the working directory. There is none here.
WORKDIR /
EXPOSE 8787
ENTRYPOINT ["warmline"]
CMD ["serve", "--host", "0.0.0.0"]
