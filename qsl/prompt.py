"""The prompt of mlcommons/inference, language/llama3.1-8b/download_cnndm.py: plain text, no chat template."""

from __future__ import annotations

TEMPLATE = (
    "Summarize the following news article in 128 tokens. Please output the summary only, without any other text."
    "\n\nArticle:\n{input}\n\nSummary:"
)


def render(article: str) -> str:
    """Return the prompt for ``article``; braces in the article stay as they are."""
    return TEMPLATE.format_map({"input": article})
