"""page_browser.py URL FOLDER [CHROMIUM]: uses the server's page in headless Chromium, saves screenshots, prints what it saw as
JSON. tests/test_server_page.py runs it in an environment with Playwright."""
import json
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright


def percents(page):
    return [[float(number.rstrip("% ")) for number in item.locator(".number").all_inner_texts()]
            for item in page.locator("#results > li").all()]


def wait(page, condition, seconds=60):
    """Playwright's own wait evaluates text in the page, which the page's security policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        if time.monotonic() > end:
            raise TimeoutError(f"{condition}: {page.locator('#status').inner_text()}")
        page.wait_for_timeout(20)


def settled(page, texts):
    wait(page, f"document.querySelectorAll('#results > li').length === {texts} && "
               "/ms; the first/.test(document.getElementById('status').textContent)")


def look(page, folder, seen):
    settled(page, 3)
    seen["first"] = percents(page)
    seen["status"] = page.locator("#status").inner_text()
    seen["requests"] = len(seen["asked"])
    page.screenshot(path=folder / "light.png", full_page=True)
    # A prior moves without a request.
    page.locator("#prior-0").fill("1")
    seen["prior"] = percents(page)
    seen["requests_after_prior"] = len(seen["asked"])
    page.locator("#prior-0").fill("50")
    seen["prior_back"] = percents(page)
    # Log-probabilities of tokens, by mouse and by keyboard.
    page.locator(".class").first.hover()
    seen["tokens"] = page.locator("#tokens").inner_text()
    page.screenshot(path=folder / "tokens.png")
    page.mouse.move(0, 0)
    page.locator(".class").nth(1).focus()
    seen["tokens_by_keyboard"] = page.locator("#tokens").is_visible()
    page.keyboard.press("Escape")
    seen["hidden_by_escape"] = not page.locator("#tokens").is_visible()
    # Classes are edited.
    page.locator("#classes").fill("a payment\nsomething else")
    wait(page, "document.querySelectorAll('#results > li:first-child .class').length === 2")
    settled(page, 3)
    seen["edited"] = percents(page)
    seen["sliders"] = page.locator("#sliders input").count()
    # An error is told.
    page.locator("#template").fill("{nothing}")
    wait(page, "document.getElementById('status').className === 'failed'")
    seen["error"] = page.locator("#status").inner_text()
    page.locator("#template").fill("Message: {text}\nIt is about")
    wait(page, "document.getElementById('status').className === ''")
    settled(page, 3)
    # The link has everything; the export has the results.
    page.locator("#share").click()
    wait(page, "location.hash.length > 10")
    with page.expect_download() as download:
        page.locator("#export").click()
    download.value.save_as(folder / "export.jsonl")
    seen["shown"] = percents(page)
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    settled(page, 3)
    seen["from_link"] = [page.locator("#classes").input_value(), percents(page)]
    # Everything is reached by the keyboard.
    page.locator("#texts").focus()
    order = []
    for _ in range(25):
        order.append(page.evaluate("document.activeElement.id || document.activeElement.className || document.activeElement.tagName"))
        page.keyboard.press("Tab")
    seen["tab_order"] = order
    page.locator("#texts").fill("one text")
    page.keyboard.press("Control+Enter")
    settled(page, 1)


def main():
    url, folder, *chromium = sys.argv[1:]
    folder = Path(folder)
    seen = {"console": [], "asked": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium[0] if chromium else None, args=["--no-sandbox"])
        for scheme, width in (("light", 1280), ("dark", 1280), ("dark", 420)):
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
            page.on("console", lambda message: seen["console"].append(message.text) if message.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: seen["console"].append(str(error)))
            page.on("request", lambda request: seen["asked"].append(request.url) if "classify" in request.url else None)
            page.goto(url)
            if scheme == "light":
                look(page, folder, seen)
            else:
                settled(page, 3)
                page.screenshot(path=folder / f"dark-{width}.png", full_page=True)
            seen[f"track_{width}"] = page.locator(".track").first.bounding_box()["width"] / page.locator("#results").bounding_box()["width"]
            seen[f"wide_{width}"] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            page.close()
        browser.close()
    print(json.dumps(seen))


main()
