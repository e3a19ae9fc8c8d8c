# The program at the place where its public image has it, so that the same manifests run both.
FROM scratch
COPY flagger /flagger
ENTRYPOINT ["/flagger"]
