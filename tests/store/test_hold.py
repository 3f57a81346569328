import signal
import subprocess
import sys
from pathlib import Path

import pytest

from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore

ALICE = MailboxId("alice", "example.com")
HOLDER = """
import sys
from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
store = MaildirStore(sys.argv[1], layout_for=lambda _: Layout())
hold = store.folder(MailboxId("alice", "example.com"), INBOX).try_hold(shared=sys.argv[2] == "shared")
print("held" if hold is not None else "refused", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("manner", ["alone", "shared"])
def test_a_folder_held_by_another_process_is_free_when_that_process_is_killed(tmp_path: Path, manner: str) -> None:
    store = MaildirStore(str(tmp_path), layout_for=lambda _: Layout())
    store.create_mailbox(ALICE)
    folder = store.folder(ALICE, INBOX)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), manner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "shared")},
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"

        during = folder.try_hold()
        beside = folder.try_hold(shared=True)
        other.send_signal(signal.SIGKILL)
        other.wait(10)

    assert during is None
    assert (beside is not None) == (manner == "shared")
    if beside is not None:
        beside.release()
    after = folder.try_hold()
    assert after is not None
    after.release()
    store.close()
