// The process that keeps a pod's namespaces alive while its containers come and go.
module serin.dev/tools/pause

go 1.26.0
