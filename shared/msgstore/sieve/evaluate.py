"""A whole run in one call, with the answers from an object."""

from msgstore.model.folder import FolderName
from msgstore.sieve.context import Context
from msgstore.sieve.engine import Engine
from msgstore.sieve.program import Program
from msgstore.sieve.questions import (
    Answer,
    Asking,
    CurrentTime,
    EnvironmentItem,
    FolderExists,
    ListContains,
    ListKnown,
    MailboxId,
    Metadata,
    Question,
    Script,
    ScriptIsBroken,
    SeenBefore,
    SpecialUseFolder,
)
from msgstore.sieve.verdict import Verdict

__all__ = ["Services", "drive", "evaluate"]


class Services:
    """Answers; what a subclass does not know it leaves, and then there is nothing there."""

    def folder_exists(self, folder: FolderName) -> bool:
        """Whether mail can be filed into the folder; only INBOX is sure."""
        return folder.is_inbox

    def special_use(self, folder: FolderName | None, use: str) -> bool:
        """Whether the folder, or any where None, has the attribute."""
        del folder, use
        return False

    def seen_before(self, question: SeenBefore) -> bool:
        """Whether the id is on record."""
        del question
        return False

    def script(self, name: str, *, is_global: bool) -> Program | ScriptIsBroken | None:
        """Give a script to include."""
        del name, is_global
        return None

    def list_contains(self, name: str, values: tuple[str, ...]) -> bool:
        """Whether the external list holds one of the values."""
        del name, values
        return False

    def list_known(self, name: str) -> bool:
        """Whether there is such a list."""
        del name
        return False

    def environment_item(self, name: str) -> str | None:
        """Give an item of the environment."""
        del name
        return None

    def current_time(self) -> float:
        """Give seconds since 1970 UTC; whoever has a clock gives its time."""
        return 0.0

    def metadata(self, folder: FolderName | None, name: str) -> str | None:
        """Give an annotation of a folder, or of the server where None."""
        del folder, name
        return None

    def mailbox_id(self, mailbox_id: str) -> FolderName | None:
        """Give the folder with this id."""
        del mailbox_id
        return None

    def answer(self, question: Question[object]) -> Answer:  # noqa: PLR0911
        """Answer any question.

        Raises:
            TypeError: nobody knows such a question; a subclass that has extensions of its own answers theirs.
        """
        match question:
            case FolderExists(folder):
                return self.folder_exists(folder)
            case SpecialUseFolder(folder, use):
                return self.special_use(folder, use)
            case SeenBefore():
                return self.seen_before(question)
            case Script(name, is_global):
                return self.script(name, is_global=is_global)
            case ListContains(name, values):
                return self.list_contains(name, values)
            case ListKnown(name):
                return self.list_known(name)
            case EnvironmentItem(name):
                return self.environment_item(name)
            case CurrentTime():
                return self.current_time()
            case Metadata(folder, name):
                return self.metadata(folder, name)
            case MailboxId(mailbox_id):
                return self.mailbox_id(mailbox_id)
            case _:
                raise TypeError(f"nobody answers {type(question).__name__}")


def drive(run: Asking[Verdict], services: Services) -> Verdict:
    """Drive a run to its end; what the services raise ends it."""
    try:
        question = next(run)
        while True:
            question = run.send(services.answer(question))
    except StopIteration as end:
        verdict = end.value
        assert isinstance(verdict, Verdict)
        return verdict


def evaluate(engine: Engine, program: Program, context: Context, services: Services | None = None) -> Verdict:
    """Run a program to its end; without services nothing is there but INBOX."""
    return drive(engine.run(program, context), services or Services())
