# Stands in for python:3.11-slim-bookworm where no public image can be had.
FROM scratch
ADD base.tar /
ENV LANG=C.UTF-8 PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin
CMD ["python3"]
