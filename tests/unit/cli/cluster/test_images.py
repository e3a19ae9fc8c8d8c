from dataclasses import replace

import pytest

from serin_cli.cluster.images import Image, other_tags, pip_configuration
from serin_cli.cluster.operator_install import chart_values, part_image


@pytest.fixture
def image(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "program").write_text("one")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").write_text("two")
    inputs = (tmp_path / "program", tmp_path / "folder")
    return Image("localhost/test:1", tmp_path / "Dockerfile", tmp_path, inputs)


def test_an_unchanged_image_keeps_its_key(image):
    assert image.key() == image.key()


@pytest.mark.parametrize("file", ["Dockerfile", "program", "folder/inner", "folder/new"])
def test_the_key_changes_with_every_input(image, file):
    before = image.key()
    (image.context / file).write_text("changed")
    assert image.key() != before


def test_files_that_are_no_input_do_not_change_the_key(image):
    before = image.key()
    (image.context / "README").write_text("changed")
    assert image.key() == before


def test_the_key_changes_with_build_arguments_but_not_with_the_tag(image):
    assert replace(image, build_args={"BASE_IMAGE": "other"}).key() != image.key()
    assert replace(image, tag="localhost/test:2").key() == image.key()


def test_pip_is_told_where_packages_come_from_and_nothing_else():
    environment = {"PIP_INDEX_URL": "https://index.example/simple", "PIP_REQUIRE_VIRTUALENV": "1", "SECRET": "x"}
    assert pip_configuration(environment).splitlines() == [
        "[global]",
        "cert = /etc/ssl/certs/ca-certificates.crt",
        "index-url = https://index.example/simple",
    ]


@pytest.fixture
def root(tmp_path):
    for part in ("operator", "serving"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "Dockerfile").write_text("ARG BASE_IMAGE\n")
        (tmp_path / "dist").mkdir(exist_ok=True)
        (tmp_path / "dist" / f"requirements-{part}.txt").write_text(f"{part}==1\n")
    (tmp_path / "dist" / "serin_operator-0.1.0-py3-none-any.whl").write_bytes(b"wheel")
    return tmp_path


def test_a_changed_wheel_gives_the_image_another_tag(root):
    before = part_image(root, "operator", "base")
    (root / "dist" / "serin_operator-0.1.0-py3-none-any.whl").write_bytes(b"changed")
    assert part_image(root, "operator", "base").tag != before.tag


def test_the_operators_requirements_do_not_change_the_servers_image(root):
    before = part_image(root, "serving", "base")
    (root / "dist" / "requirements-operator.txt").write_text("operator==2\n")
    assert part_image(root, "serving", "base") == before


def test_the_chart_is_told_both_images(root):
    images = {part: part_image(root, part, "base") for part in ("operator", "serving")}
    values = chart_values(images)
    assert f"{values['image']['repository']}:{values['image']['tag']}" == images["operator"].tag
    assert values["serving"]["image"] == images["serving"].tag


def test_other_tags_are_those_of_the_same_image():
    names = ["localhost/a:1", "localhost/a:2", "localhost/ab:1", "other/a:1", "sha256:123"]
    assert other_tags(names, "localhost/a:2") == ["localhost/a:1"]
