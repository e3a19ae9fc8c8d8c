"""What the stories measured can go into a page as it is."""

from __future__ import annotations

from tests.support.figures import Ended, Figures


def test_verdicts_make_a_table_and_other_lines_a_list() -> None:
    figures = Figures()
    figures.measured("operator killed", "promoted after 9 s")
    figures.ended(Ended("half of the labels drawn by lot", "RolledBack", 6.6, "accuracy Fail: 0.8 | 0.9\nof stable"))
    figures.ended(Ended("no labels", "Holding", 4.0, "accuracy NoData"))
    figures.ended(Ended("no labels", "Stable", 9.2, "every gate passed"))
    assert figures.markdown() == (
        "| what is wrong | phase | after | what the gate said |\n"
        "| --- | --- | --- | --- |\n"
        "| half of the labels drawn by lot | RolledBack | 7 s | accuracy Fail: 0.8 \\| 0.9 of stable |\n"
        "| no labels | Holding | 4 s | accuracy NoData |\n"
        "| no labels | Stable | 9 s | every gate passed |\n"
        "\n"
        "- operator killed: promoted after 9 s\n"
    )


def test_without_verdicts_there_is_no_table() -> None:
    figures = Figures()
    figures.measured("operator killed", "promoted after 9 s")
    assert figures.markdown() == "- operator killed: promoted after 9 s\n"


def test_a_row_is_a_line_of_the_terminal_as_well() -> None:
    figures = Figures()
    figures.ended(Ended("no labels", "Holding", 4.4, "accuracy NoData"))
    assert figures.lines == {"no labels: Holding after 4 s": "accuracy NoData"}
