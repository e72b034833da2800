"""What the documents say of the code."""

from pathlib import Path

from repu_lab.tracking.tags import tags_as_markdown

ROOT = Path(__file__).parents[1]


def test_the_page_of_tags_is_the_table_in_the_code():
    assert tags_as_markdown() in (ROOT / "docs" / "tags.md").read_text(), (
        "write tags_as_markdown() of repu_lab.tracking.tags into docs/tags.md"
    )


def test_readme_names_pictures_and_pages_that_are_there():
    readme = (ROOT / "README.md").read_text()
    for name in ("propagation", "profiles", "images", "curves", "hparams"):
        assert f"docs/pictures/{name}.png" in readme and (ROOT / "docs" / "pictures" / f"{name}.png").is_file()
    for page in ("tags", "learning_rates", "decisions", "performance"):
        assert f"docs/{page}.md" in readme and (ROOT / "docs" / f"{page}.md").is_file()
