"""The paper about sessions is true: its steps run as they stand, its three lines buy an answer."""

import json
import subprocess
import sys
import urllib.request

from tests.process.test_readme import LIMIT_S, SAID_URL, blocks, paste, url

__all__ = ["url"]

PAPER = "docs/sessions.md"


def post(url, fields):
    call = urllib.request.Request(
        url, json.dumps(fields).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(call, timeout=LIMIT_S) as answer:
        return json.load(answer)


def test_the_steps_lead_from_the_deposit_to_the_end(url):
    shown = paste(blocks(PAPER, "sh"), "bash", url)

    assert '"costMsat":1000,"balanceMsat":99000' in shown
    assert '"balanceMsat":67000,"heldMsat":0,"spentMsat":33000,"depositedMsat":100000' in shown
    assert '"state":"complete"' in shown
    assert '"label":"my editor"' in shown
    assert '"state":"joined"' in shown
    assert '"state":"closed"' in shown
    assert '"code":' not in shown


def test_four_lines_point_an_openai_client_at_the_server(url):
    session = post(f"{url}/sessions", {"amountSats": 100})
    post(f"{url}/dev/stub/pay/{session['depositInvoice']['paymentHash']}", {})
    (lines,) = blocks(PAPER, "python")
    program = lines.replace(SAID_URL, url).replace("THE MACAROON", session["macaroon"])

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT_S, check=True
    )

    assert len([line for line in lines.splitlines() if line]) == 4
    assert "content='a, b'" in done.stdout
