"""URIs of bundles: those that may stand in a spec, and those that may not, with words of the answer."""

PLACES = (
    "https://models.example.com/wine/7",
    "http://models.shop.svc:8080/wine/7.tar.gz",
    "s3://models/wine/7",
    "gs://my_models/wine/7.zip",
    "az://account1/models/wine/7",
    "oci://registry.example.com:5000/team/wine:7",
    f"oci://registry.example.com/wine@sha256:{'a' * 64}",
    "oci+http://registry.shop.svc:5000/wine",
    "hf://owner/repo",
    "hf://owner/repo@v1.0/bundles/wine",
    "mlflow://mlflow.example.com/wine/7",
    "mlflow+http://mlflow.shop.svc:5000/wine@champion/serin",
)

NO_PLACES = {
    "ftp://models.example.com/wine": "write pvc://",
    "models/wine": "write pvc://",
    "https://models.example.com": "should match",
    "https://ann:pw@models.example.com/wine": "a user or password",
    "https://models.example.com/wine?signature=abc": "a query may hold",
    "https://models.example.com/wine#x": "a query may hold",
    "https://models.example.com/a/../b": "must not contain '..'",
    "s3://Models/wine": "should match",
    "s3://models": "should match",
    "az://account1/models": "should match",
    "oci://registry.example.com/Wine:7": "should match",
    "oci://registry.example.com/wine@sha256:abc": "should match",
    "hf://owner": "should match",
    "mlflow://mlflow.example.com/wine": "should match",
}

IMAGES = (
    "image://wine-server:7",
    "image://registry.example.com:5000/team/wine-server",
    f"image://registry.example.com/wine-server@sha256:{'a' * 64}",
    f"image://registry.example.com/wine-server:7@sha256:{'a' * 64}",
)

NO_IMAGES = (
    "image://",
    "image://registry.example.com/Wine:7",
    "image://ann:pw@registry.example.com/wine",
    "image://wine:7@sha256:abc",
    "image://wine:7?pull=always",
    "image://wine server",
)
