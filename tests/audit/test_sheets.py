from graft.audit.sheets import LETTERS, Tile, caption


def test_words_below_a_picture_are_whole_and_a_long_name_keeps_its_end():
    words = "across test and train; two classes, cat and horse"
    lines = caption(Tile(0, (f"cat/{'long' * 20}/0123.jpg", "train", words)))
    assert all(len(line) <= LETTERS for line in lines)
    name, said = "".join(lines[: lines.index("train")]), " ".join(lines[lines.index("train") + 1 :])
    assert "…" in name
    assert name.endswith("/0123.jpg")
    assert said == words
