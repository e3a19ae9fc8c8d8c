"""Where the API server is and who we are to it: inside a cluster by service account, else by kubeconfig."""

from __future__ import annotations

import os
from pathlib import Path

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from serin_operator.errors import SettingsError

CONNECTIONS_MAX = 64


async def configuration(kubeconfig: Path | None = None) -> Configuration:
    """Address, trust and credentials as they are now.

    Raises:
        SettingsError: there is neither a service account nor a kubeconfig that can be read.
    """
    found = Configuration()
    try:
        if kubeconfig is None and in_cluster():
            load_incluster_config(client_configuration=found)
        else:
            path = str(kubeconfig) if kubeconfig else None
            await load_kube_config(config_file=path, client_configuration=found, persist_config=False)
    except (ConfigException, OSError) as error:
        raise SettingsError(
            f"the API server cannot be found: {error}; run in a cluster or name a file in KUBECONFIG"
        ) from error
    # Retrying is the client's own, since the library leaves PATCH out.
    found.retries = None
    found.connection_pool_maxsize = CONNECTIONS_MAX
    # Kopf ignores proxy variables, so half of the operator would go through a proxy and half would not.
    found.client_session_kwargs = {"trust_env": False}
    return found


def client(found: Configuration) -> ApiClient:
    """A client with that configuration; the caller closes it."""
    made = ApiClient(found)
    made.user_agent = "serin-operator"
    return made


def in_cluster() -> bool:
    """Whether Kubernetes started this process; a KUBECONFIG that is set wins over it."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
