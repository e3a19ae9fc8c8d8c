# The program at the place where Traefik's public image has it, so that the same manifests run both.
FROM scratch
COPY traefik /usr/local/bin/traefik
ENTRYPOINT ["/usr/local/bin/traefik"]
