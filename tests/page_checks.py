"""What a report's page must pass in a browser: no request or message, contrast, names, size of letters, width."""

from pathlib import Path

from chromium import Browser

# Texts whose color is too near their background's, as WCAG 2 counts it: below 4.5, or 3 for large letters.
CONTRAST = """
(() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const light = (rgb) => { const [r, g, b] = rgb.map((v) => v / 255).map((v) =>
    v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (node) => {
    const layers = [];
    for (let each = node; each; each = each.parentElement)
      layers.unshift(parse(getComputedStyle(each).backgroundColor));
    return layers.reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
    const style = getComputedStyle(node);
    if (style.visibility === "hidden" || !node.getClientRects().length) continue;
    const below = behind(node);
    const ink = over(parse(node.closest("svg") ? style.fill : style.color), below);
    const [a, b] = [light(ink), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    if (ratio < (size >= 24 || (size >= 18.6 && style.fontWeight >= 700) ? 3 : 4.5))
      bad.push(`${walker.currentNode.data.trim().slice(0, 40)} ${ratio.toFixed(2)}`);
  }
  return bad;
})()
"""
# What a keyboard or a screen reader would miss.
UNNAMED = """
[...document.querySelectorAll("button, a, [role=img], [role=region], summary, img")]
  .filter((node) => !(node.textContent.trim() || node.getAttribute("aria-label") || node.getAttribute("alt")))
  .map((node) => node.outerHTML)
"""
SMALL = """
[...document.querySelectorAll("body *")]
  .filter((node) => node.getClientRects().length && node.firstChild?.nodeType === 3 && node.firstChild.data.trim())
  .filter((node) => !node.closest("svg") && parseFloat(getComputedStyle(node).fontSize) < 11.5)
  .map((node) => node.textContent.slice(0, 40))
"""


def check_page(tab: Browser, page: Path) -> None:
    """Open a page in each size and color scheme, and check it in each."""
    for width, dark, scripts in ((1400, False, True), (400, False, True), (1400, True, True), (400, True, False)):
        tab.open(page, width, dark, scripts)
        assert tab.messages == []
        assert [each for each in tab.requests if not each.startswith("data:image/")] == [page.resolve().as_uri()]
        if not scripts:
            continue
        tab.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.run(CONTRAST) == []
        assert tab.run(UNNAMED) == []
        assert tab.run(SMALL) == []
        assert tab.run("document.documentElement.lang") == "en"
