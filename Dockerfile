# syntax=docker/dockerfile:1
# Two stages: the binary is built with the whole tool chain, and runs with nothing but git beside it.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git openssh-client ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/titan titan
COPY --from=build /src/target/release/titan /usr/local/bin/titan
# Answers git's questions for a user and a password, from the environment.
COPY --chmod=755 <<'END' /usr/local/bin/titan-askpass
#!/bin/sh
case "$1" in Username*) echo "${GIT_USERNAME:-git}" ;; *) echo "$GIT_TOKEN" ;; esac
END
USER 10001
WORKDIR /var/lib/titan
# TITAN_CACHE: clones of remote fleets; may be thrown away at any time.
ENV TITAN_CACHE=/var/lib/titan/cache GIT_ASKPASS=/usr/local/bin/titan-askpass
EXPOSE 7878
ENTRYPOINT ["titan"]
CMD ["controller", "--listen", "0.0.0.0:7878"]
