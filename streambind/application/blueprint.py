"""What an application is before it runs: everything validated, nothing started."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker

from streambind.application.broker_clashes import input_clashes, output_clashes
from streambind.application.channels import ChannelPlan, Channels
from streambind.application.correspondence import PlannedReplies
from streambind.application.dead_letters import LetterRoute, PlannedDeadLetters, letter_route
from streambind.application.declarations import Declarations, collect
from streambind.application.examination import destination_findings
from streambind.application.input_targets import input_findings
from streambind.application.links import Links
from streambind.application.outputs import plan_outputs
from streambind.application.replica_clashes import replica_clashes
from streambind.binding.factory import BinderFactory, binder_types
from streambind.configuration import Configuration, Finding, Severity, load
from streambind.configuration.properties import Publish
from streambind.errors import ConfigurationError
from streambind.event_loop import EventLoop
from streambind.inbound.input import InputPlan
from streambind.inbound.surroundings import Surroundings
from streambind.outbound.bridge import StreamBridge
from streambind.outbound.capture import Capture
from streambind.outbound.outbox import Outbox
from streambind.outbound.outgoing import OutputPlan
from streambind.outbound.publication import publications_of
from streambind.persistence.database import AnySessions, Database


class Blueprint:
    """Configuration, declarations, database and the plans made of them.

    Building it attaches capture to the sessionmaker, the one effect it has.

    Raises:
        ConfigurationError: with every finding.
    """

    def __init__(
        self,
        location: str | Path,
        *,
        loop: EventLoop,
        links: Links,
        database: AnySessions | None,
        include: Iterable[object],
        arguments: Sequence[str],
        overrides: Mapping[str, object],
    ) -> None:
        self.loop = loop
        self.configuration: Configuration = load(
            location, binder_models=binder_types(), arguments=arguments, overrides=overrides
        )
        self._location = location
        self._findings = list(self.configuration.findings)
        self.declarations: Declarations = collect(include)
        self.database = self._database(database, loop)
        self.time_zone = self._time_zone()
        plan = ChannelPlan(self.configuration, self.declarations)
        self._findings += plan.findings
        self._findings += destination_findings(self.configuration, plan.channels.outputs)
        self.outputs, findings = plan_outputs(plan.channels.outputs, self.configuration, self.time_zone)
        self._findings += findings
        self._refused = set(plan.channels.outputs) - set(self.outputs)
        self.output_plans = self._by_channel(self.outputs)
        self.bridge = StreamBridge(self.output_plans, links.sender)
        self.letter_routes: dict[str, LetterRoute] = {}
        self.input_plans = self._input_plans(plan.channels, loop, links)
        self._findings += input_findings(self.configuration, self.input_plans, self.input_plans)
        if self.database is not None:
            self._findings += output_clashes(self.configuration, self.outputs, self.letter_routes)
            self._findings += input_clashes(self.configuration, self.input_plans)
        self._findings += replica_clashes(self.declarations, self.input_plans)
        capture = self._capture(links)
        self.findings = tuple(dict.fromkeys(self._findings))
        self._refuse_errors()
        if capture is not None:
            capture.attach()

    @property
    def has_outbox(self) -> bool:
        """Whether rows may wait in the outbox that some process should send."""
        return self.database is not None and self._uses_outbox

    @property
    def needs_tables(self) -> bool:
        """Whether streambind's tables are used: for an outbox or for positions."""
        positions = any(plan.positions is not None for plan in self.input_plans.values())
        return self.database is not None and (self._uses_outbox or positions)

    @property
    def _uses_outbox(self) -> bool:
        if any(plan.publish is Publish.OUTBOX for plan in self.outputs.values()):
            return True
        plans = self.input_plans
        # Without code, for a relay, it is not known which inputs write their dead letters to the outbox.
        return any(name not in plans or plans[name].positions is not None for name in self.letter_routes)

    def _database(self, sessions: AnySessions | None, loop: EventLoop) -> Database | None:
        database = self._made_database(sessions, loop)
        if database is not None:
            timeout_ms = self.configuration.properties.datasource.transaction_timeout_ms
            database.transaction_timeout_ms = timeout_ms
        return database

    def _made_database(self, sessions: AnySessions | None, loop: EventLoop) -> Database | None:
        datasource = self.configuration.properties.datasource
        try:
            if sessions is not None:
                engine = self._engine_of_entities(sessions)
                return Database(sessions, loop=loop, schema=datasource.table_schema, engine=engine)
            if datasource.url is not None:
                url = datasource.url.get_secret_value()
                database = Database.from_url(url, loop=loop, schema=datasource.table_schema)
                database.command_target = shlex.quote(str(self._location))
                return database
        except ConfigurationError as error:
            origin = self.configuration.origin_of("datasource.url") if sessions is None else None
            self._error(str(error), origin_key=None if origin is None else "datasource.url")
        return None

    def _engine_of_entities(self, sessions: AnySessions) -> Engine | None:
        """The one engine of all published classes, for a sessionmaker with several; else None."""
        if not isinstance(sessions, sessionmaker) or sessions.kw.get("bind") is not None:
            return None
        with sessions() as session:
            binds = {session.get_bind(p.declared_on) for p in self.declarations.publications}
        engines = {bind for bind in binds if isinstance(bind, Engine)}
        return engines.pop() if len(engines) == 1 else None

    def _time_zone(self) -> tzinfo:
        name = self.configuration.properties.events.time_zone
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            text = f"{name!r} is no time zone that this machine knows; write UTC, or one such as Asia/Seoul"
            self._error(text, origin_key="events.time-zone")
            return ZoneInfo("UTC")

    def _by_channel(self, plans: Mapping[str, OutputPlan]) -> dict[str, OutputPlan]:
        """The plans by declared name, and by the spellings that code uses for it."""
        by_channel = dict(plans)
        for channel, _ in self.declarations.published():
            declared = self.configuration.find_binding(channel)
            if declared is not None and declared in plans:
                by_channel[channel] = plans[declared]
        return by_channel

    def _input_plans(self, channels: Channels, loop: EventLoop, links: Links) -> dict[str, InputPlan]:
        binders = BinderFactory(self.configuration)
        outbox = None if self.database is None else Outbox(self.database)
        plans: dict[str, InputPlan] = {}
        for name, properties in channels.inputs.items():
            find = self.configuration.find_binding
            listeners = [mark for mark in self.declarations.listeners if find(mark.binding) == name]
            replicas = [mark for mark in self.declarations.replicas if find(mark.binding) == name]
            try:
                route = letter_route(name, properties, self.configuration, binders)
                surroundings = Surroundings(
                    loop=loop,
                    database=self.database,
                    database_refused=self._database_refused,
                    time_zone=self.time_zone,
                    replies=PlannedReplies(self.bridge),
                    dead_letters=None if route is None else PlannedDeadLetters(route, links, outbox),
                    on_commit=links.wake,
                    publishes=lambda cls: bool(publications_of(cls)),
                )
                plans[name] = InputPlan.build(
                    name, properties, listeners=listeners, replicas=replicas, surroundings=surroundings
                )
            except ConfigurationError as error:
                self._add(error, origin_key=f"bindings.{name}")
                continue
            self._findings += plans[name].findings
            if route is not None:
                self.letter_routes[name] = route
        if not any(self.declarations.listened()):
            self._add_undeclared_routes(binders)
        return plans

    def _add_undeclared_routes(self, binders: BinderFactory) -> None:
        """Where the dead letters of a service go whose code is not known here: a relay's configuration."""
        for name, properties in self.configuration.properties.bindings.items():
            if name not in self.outputs and properties.group is not None:
                route = letter_route(name, properties, self.configuration, binders)
                if route is not None:
                    self.letter_routes[name] = route

    def _capture(self, links: Links) -> Capture | None:
        if self._database_refused:
            return None
        if self.database is None:
            for publication in self.declarations.publications:
                self._error(
                    f"{publication.declared_on.__name__} is published to {publication.binding}, but the "
                    "application has no database: set streambind.datasource.url, or write "
                    "StreamApplication(..., database=Sessions)"
                )
            return None
        capture = Capture(
            self.database,
            [publication.declared_on for publication in self.declarations.publications],
            outputs=self.output_plans,
            wake=links.wake,
            send_after_commit=links.send_after_commit,
            max_rows=self.configuration.properties.outbox.max_rows,
        )
        channels = [publication.binding for publication in self.declarations.publications]
        self._findings += capture.check([c for c in channels if self._is_told(c)])
        return capture

    @property
    def _database_refused(self) -> bool:
        """Whether there is no database because of what has been found already."""
        written = self.configuration.origin_of("datasource.url") is not None
        return self.database is None and (written or self.configuration.is_unread)

    def _is_told(self, channel: str) -> bool:
        """Whether it has been said already why the channel is no output."""
        declared = self.configuration.find_binding(channel)
        return declared is None or declared in self._refused

    def _error(self, text: str, *, origin_key: str | None = None) -> None:
        origin = None if origin_key is None else self.configuration.origin_of(origin_key)
        self._findings.append(Finding(Severity.ERROR, text, origin))

    def _add(self, error: ConfigurationError, *, origin_key: str) -> None:
        if error.findings:
            self._findings += error.findings
        else:
            self._error(str(error), origin_key=origin_key)

    def _refuse_errors(self) -> None:
        errors = sum(finding.severity is Severity.ERROR for finding in self.findings)
        if errors:
            lines = "\n".join(f"  {finding}" for finding in self.findings)
            count = "1 error" if errors == 1 else f"{errors} errors"
            raise ConfigurationError(f"the application has {count}\n{lines}", self.findings)
