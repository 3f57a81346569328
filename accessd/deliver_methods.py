"""The method that has the meaning of an LMTP transaction, for a relay that cannot speak LMTP."""

from collections.abc import Sequence

import msgstore.access.bodyshapes as b
from accessd.calls import Call
from accessd.serving import serves
from accessd.upload_methods import take_source
from accessd.uploads import Source
from msgstore.access import entries
from msgstore.access.codes import AccessError
from msgstore.model.address import MailboxId, parse_address
from msgstore.model.envelope import BodyType, ClientIdentity, EncryptionInfo, Envelope, Recipient, SpamVerdict
from msgstore.model.errors import MsgstoreError
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import DeliveryAgent
from msgstore.model.result import DeliveryResult, Outcome

__all__: list[str] = []


@serves(entries.DELIVER_MESSAGE)
async def _deliver(call: Call, args: b.DeliverArgs) -> b.DeliverResult:
    agent, limit = call.services.agent, call.services.login.max_message_octets
    if agent is None:
        raise AccessError("UNSUPPORTED", "this server delivers no mail")
    reverse_path = None if args.reverse_path is None else parse_address(args.reverse_path)
    received_at = call.services.clock.time() if args.received_at is None else args.received_at
    smtputf8 = bool(args.smtputf8)
    client = ClientIdentity(
        helo=args.client.helo,
        address=args.client.address,
        name=args.client.name,
        protocol="UTF8LMTP" if smtputf8 else "LMTP",
        session_id=call.log_id,
    )

    def act(source: Source) -> tuple[b.OneResult, ...]:
        accepted = [_accept(agent, recipient) for recipient in args.recipients]
        envelope = Envelope(
            reverse_path=reverse_path,
            recipients=tuple(one for one in accepted if isinstance(one, Recipient)),
            received_at=received_at,
            client=client,
            body_type=BodyType.SEVEN_BIT if args.body_type is None else BodyType(args.body_type),
            smtputf8=smtputf8,
            transaction=args.transaction,
            encryption=_encryption(args.encryption),
            spam=_spam(args.spam),
        )
        results = iter(_hand_over(agent, envelope, source, limit) if envelope.recipients else ())
        return tuple(one if isinstance(one, b.OneResult) else _written(next(results)) for one in accepted)

    source, give_back = take_source(call, args)
    results = await call.commit_with(give_back, act, source)
    for place in {(place.mailbox, place.folder) for result in results for place in result.filed}:
        call.services.watching.changed(MailboxId.parse(place[0]), FolderName.parse(place[1]))
    return b.DeliverResult(results=results)


def _accept(agent: DeliveryAgent, recipient: b.RecipientShape) -> Recipient | b.OneResult:
    """Resolve one recipient; what is wrong with it is its own result."""
    try:
        return agent.accept(parse_address(recipient.forward_path), orcpt=recipient.orcpt, notify=recipient.notify or ())
    except MsgstoreError as error:
        outcome = Outcome.FAILED if error.is_temporary else Outcome.REJECTED
        return b.OneResult(
            forward_path=recipient.forward_path,
            outcome=outcome.value,
            code=error.reply_code,
            status=str(error.status),
            temporary=error.is_temporary,
            text=error.reply_text,
            filed=(),
            redirects=(),
        )


def _hand_over(agent: DeliveryAgent, envelope: Envelope, source: Source, limit_octets: int) -> Sequence[DeliveryResult]:
    incoming = agent.open(envelope)
    try:
        for chunk in source.chunks(limit_octets):
            incoming.write(chunk)
    except AccessError:
        incoming.abort()
        raise
    except MsgstoreError as error:
        return incoming.fail(error)
    except BaseException:
        incoming.abort()
        raise
    return incoming.commit()


def _written(result: DeliveryResult) -> b.OneResult:
    return b.OneResult(
        forward_path=str(result.forward_path),
        outcome=result.outcome.value,
        code=result.reply_code,
        status=str(result.status),
        temporary=400 <= result.reply_code < 500,
        text=result.text,
        filed=tuple(
            b.FiledPlace(
                mailbox=str(place.mailbox), folder=str(place.folder), uidvalidity=place.uidvalidity, uid=place.uid
            )
            for place in result.filed
        ),
        redirects=(),
    )


def _encryption(said: b.Encryption | None) -> EncryptionInfo | None:
    return None if said is None else EncryptionInfo(algorithm=said.algorithm, encrypted=said.encrypted)


def _spam(said: b.RelaySpam | None) -> SpamVerdict | None:
    """Believe the scanner of a relay: the role is trusted, as a header never is."""
    if said is None:
        return None
    return SpamVerdict(is_spam=said.is_spam, score=said.score, checker=said.checker or "", action=said.action or "")
