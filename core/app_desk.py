"""The wiring of the front desk, and the terms of business as the configuration has them."""

from dataclasses import dataclass

from core.agents.port import Agent, Model, Relay
from core.books.allowances import Allowance
from core.config import Config
from core.config_model import ModelSettings
from core.desk.answers import AnswerBook
from core.desk.ask_desk import AskDesk
from core.desk.front_desk import Desk
from core.desk.job_desk import JobDesk
from core.desk.link_desk import LinkDesk
from core.desk.mail_desk import MailDesk
from core.desk.meter import Meter
from core.desk.pay_desk import PayDesk
from core.desk.payout_desk import PayoutDesk
from core.desk.people_desk import PeopleDesk
from core.desk.relay_desk import RelayDesk
from core.desk.running import Running
from core.desk.session_desk import SessionDesk
from core.desk.session_job_desk import SessionJobDesk
from core.desk.talk_desk import TalkDesk
from core.desk.till import Till
from core.gate import Health
from core.loops.live import Live
from core.loops.settle import Settler
from core.store.bulletin import Bulletin
from core.store.port import Store
from core.values.claims import ClaimLinks, base_of_links
from core.values.clock import Clock
from core.values.keys import derive
from core.values.link_codes import LinkCodes
from core.values.money import from_sats
from core.values.pay_links import PayLinks
from core.values.pricing import Prices, Pricing
from core.values.terms import FeeRule, JobTerms, RefundTerms, SessionTerms
from core.values.tokens import TokenCache, TokenKeys
from core.wallets.lnurl import Resolver
from core.wallets.port import Wallet


@dataclass(frozen=True, slots=True)
class Ground:
    """What everything stands on in one process."""

    secret: bytes
    process_id: str
    store: Store
    bulletin: Bulletin
    wallet: Wallet
    agent: Agent
    relay: Relay
    resolver: Resolver
    can_pay: bool
    clock: Clock


def open_desk(config: Config, ground: Ground, settler: Settler, health: Health, live: Live) -> Desk:
    """The desk that the doors speak to."""
    store, clock, gate = ground.store, ground.clock, health.gate
    running = Running()
    models = {model.id: model for model in map(model_of, config.models)}
    answers = AnswerBook(
        store,
        ground.bulletin,
        clock,
        key=derive(ground.secret, "kept answers"),
        process_id=ground.process_id,
    )
    token_keys = TokenKeys(derive(ground.secret, "macaroon root keys"))
    open_invoices_max = config.limits.open_invoices_per_client
    insecure_hosts = config.refunds.lnurl_insecure_hosts
    till = Till(
        store=store,
        bulletin=ground.bulletin,
        wallet=ground.wallet,
        settler=settler,
        clock=clock,
        gate=gate,
        token_keys=token_keys,
        terms=session_terms(config),
        open_invoices_per_client=open_invoices_max,
    )
    meter = Meter(
        store=store,
        till=till,
        clock=clock,
        answers=answers,
        pricing=pricing_of(config),
        process_id=ground.process_id,
        running=running,
    )
    jobs = JobDesk(
        store=store,
        bulletin=ground.bulletin,
        wallet=ground.wallet,
        live=live,
        clock=clock,
        gate=gate,
        answers=answers,
        token_keys=token_keys,
        terms=job_terms(config),
        pricing=pricing_of(config),
        model=model_of(config.models[0]),
        open_invoices_per_client=open_invoices_max,
        free_evaluations=Allowance("evaluation", config.limits.free_evaluations_per_hour),
        insecure_hosts=insecure_hosts,
    )
    links = PayLinks(derive(ground.secret, "pay pages"), config.server.public_url)
    pay_pages = PayDesk(store, ground.bulletin, clock, links)
    sessions = SessionDesk(
        store=store,
        till=till,
        clock=clock,
        answers=answers,
        token_keys=token_keys,
        terms=session_terms(config),
        job_terms=job_terms(config),
    )
    payouts = PayoutDesk(
        store=store,
        resolver=ground.resolver,
        clock=clock,
        gate=gate,
        answers=answers,
        network=config.wallet.network,
        terms=refund_terms(config),
        insecure_hosts=insecure_hosts,
        can_pay=ground.can_pay,
        links=ClaimLinks(
            derive(ground.secret, "claim links"),
            base_of_links(config.server.public_url, insecure_hosts),
        ),
    )
    people = PeopleDesk(
        store=store,
        till=till,
        clock=clock,
        jobs=jobs,
        sessions=sessions,
        payouts=payouts,
        token_keys=token_keys,
        terms=job_terms(config),
    )
    return Desk(
        jobs=jobs,
        sessions=sessions,
        session_jobs=SessionJobDesk(
            store=store,
            till=till,
            clock=clock,
            answers=answers,
            jobs=jobs,
            terms=job_terms(config),
        ),
        payouts=payouts,
        links=LinkDesk(
            store=store,
            clock=clock,
            answers=answers,
            codes=LinkCodes(derive(ground.secret, "link codes")),
        ),
        people=people,
        talk=TalkDesk(
            people=people, meter=meter, agent=ground.agent, running=running, model=jobs.model
        ),
        mail=MailDesk(
            store=store,
            bulletin=ground.bulletin,
            clock=clock,
            process_id=ground.process_id,
            retention_ms=job_terms(config).retention_ms,
        ),
        meter=meter,
        asks=AskDesk(meter=meter, agent=ground.agent, running=running, models=models),
        relay=RelayDesk(meter=meter, relay=ground.relay, answers=answers, running=running),
        till=till,
        answers=answers,
        pay_pages=pay_pages,
        health=health,
        gate=gate,
        store=store,
        wallet=ground.wallet,
        agent=ground.agent,
        clock=clock,
        tokens=TokenCache(token_keys),
        models=models,
        demo_allowance=Allowance("demo", config.demo.per_hour, config.demo.per_day_total),
    )


def job_terms(config: Config) -> JobTerms:
    """The terms of jobs."""
    return JobTerms(
        eval_fee=from_sats(config.pricing.eval_fee_sats),
        keeps_fee_on_reject=config.pricing.eval_fee_on_reject == "keep",
        invoice_expiry_s=config.jobs.invoice_expiry_s,
        unpaid_ttl_ms=config.jobs.unpaid_ttl_s * 1000,
        deadline_ms=config.jobs.deadline_s * 1000,
        work_calls_max=config.jobs.attempts,
        retention_ms=config.jobs.retention_days * 86_400_000,
        refund_fee=FeeRule(config.refunds.fee_max_percent, config.refunds.fee_max_min_sats),
    )


def refund_terms(config: Config) -> RefundTerms:
    """The terms of refunds and withdrawals."""
    refunds = config.refunds
    return RefundTerms(
        min_sats=refunds.min_sats,
        house_fee_per_day=from_sats(refunds.house_fee_sats_per_day),
        fee_rule=FeeRule(refunds.fee_max_percent, refunds.fee_max_min_sats),
    )


def session_terms(config: Config) -> SessionTerms:
    """The terms of sessions."""
    return SessionTerms(
        **config.sessions.model_dump(),
        invoice_expiry_s=config.jobs.invoice_expiry_s,
        unpaid_ttl_ms=config.jobs.unpaid_ttl_s * 1000,
    )


def pricing_of(config: Config) -> Pricing:
    """The prices beside the models' own."""
    return Pricing(**config.pricing.model_dump())


def model_of(model: ModelSettings) -> Model:
    """A model for sale."""
    return Model(
        id=model.id,
        upstream_id=model.upstream_id or model.id,
        prices=Prices(model.input_msat_per_1k, model.output_msat_per_1k),
        max_output_tokens=model.max_output_tokens,
        context_tokens=model.context_tokens,
    )
