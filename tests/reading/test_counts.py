from collections import Counter

from graft.reading.counts import classes_words, reasons


def test_reasons_name_the_package_that_reads_a_format():
    words = reasons([".heic", ".heic", ".jxl", "in masks/", ".txt"])
    assert words == "2 .heic (pip install pillow-heif), 1 .jxl (pip install pillow-jxl-plugin), 1 .txt, 1 in masks/"


def test_classes_of_one_size_have_one_number():
    assert classes_words(Counter({"cat": 8, "dog": 8})) == "2 classes (8, 8)"
    many = Counter(dict.fromkeys("abcdefghijkl", 8))
    assert classes_words(many) == "12 classes (8 each)"
    assert classes_words(many + Counter("a")) == "12 classes (8 to 9 each)"
