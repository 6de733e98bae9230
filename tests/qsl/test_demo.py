"""The demo's articles become a data set like the real one."""

from __future__ import annotations

from pathlib import Path

from qsl.dataset import Dataset
from qsl.demo import ARTICLES, build_demo_dataset
from qsl.prompt import render
from qsl.tokenizer import load_tokenizer


def test_demo_data_set(tokenizer_dir: Path, tmp_path: Path) -> None:
    path = build_demo_dataset(tokenizer_dir, tmp_path / "sub" / "demo.parquet")
    assert path == tmp_path / "sub" / "demo.parquet"
    data = Dataset.load(path, vocab_size=300)
    assert data.count == len(ARTICLES.read_text().splitlines()) >= 32
    assert data.duplicates == 0
    assert data.label == "demo articles"
    assert all(data.references(range(data.count)))


def test_model_with_a_chat_template_is_asked_in_it(tokenizer_dir: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tokenizer_dir))
    tokenizer.chat_template = (
        "{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    tokenizer.save_pretrained(tmp_path / "chat")
    data = Dataset.load(build_demo_dataset(tmp_path / "chat", tmp_path / "demo.json"))
    ids = data.tokens(3).tolist()
    assert ids.count(tokenizer.bos_token_id) == 1
    wanted = f"user: {render(data.articles([3])[0])}\nassistant:"
    assert tokenizer.decode(ids, skip_special_tokens=True) == wanted
