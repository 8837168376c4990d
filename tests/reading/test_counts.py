from graft.reading.counts import reasons


def test_reasons_name_the_package_that_reads_a_format():
    words = reasons([".heic", ".heic", ".jxl", "in masks/", ".txt"])
    assert words == "2 .heic (pip install pillow-heif), 1 .jxl (pip install pillow-jxl-plugin), 1 .txt, 1 in masks/"
