"""`streambind explain`: what holds for a binding, where it was said, and what becomes of what fails."""

from __future__ import annotations

from collections.abc import Iterator

import click
from pydantic import BaseModel

from streambind.cli.output import FAILED, json_option, print_json, print_table, write, write_error
from streambind.cli.plan import PlannedBinding, planned_bindings
from streambind.cli.replica_view import replica_lines
from streambind.cli.target import Target, resolve
from streambind.configuration import Configuration
from streambind.configuration.masking import shown
from streambind.configuration.names import did_you_mean
from streambind.configuration.properties import NoEffect
from streambind.inbound.failure_plan import Step, failure_plan
from streambind.inbound.input import InputPlan

Setting = tuple[str, str, str]
"""A key, its value as it may be shown, and where it was said."""

DEFAULT = "default"
_SHOWN_TRIES = 3


@click.command()
@click.argument("target")
@click.argument("binding")
@json_option
def explain(target: str, binding: str, as_json: bool) -> None:
    """Show what holds for BINDING of TARGET (module:attribute): each effective value with where it comes from, and
    for an input which columns its replicas fill, and what becomes of a message that keeps failing, as a timeline.

    \b
    Examples:
      streambind explain sample_app.lecture.app:stream in-categoryChanged

    Of a configuration folder the values alone are shown: what a failing message meets depends on the code. Exit
    code 1 if there is no such binding.
    """
    resolved = resolve(target)
    planned = {each.name: each for each in planned_bindings(resolved)}
    name = resolved.configuration.find_binding(binding)
    if name is None:
        write_error(f"there is no binding {binding!r}{did_you_mean(binding, planned) or '.'}")
        raise SystemExit(FAILED)
    settings = list(_settings(resolved.configuration, planned[name]))
    plan = None if resolved.application is None else resolved.application.blueprint.input_plans.get(name)
    if plan is not None and not any(key == "consumer.onError" for key, _, _ in settings):
        settings.append(("consumer.onError", str(plan.policy.default), "default, for this listener"))
    steps = [] if plan is None else _steps(resolved, planned[name], plan)
    replicas = [] if plan is None else list(replica_lines(plan.replicas))
    if as_json:
        shown_settings = [{"key": key, "value": value, "origin": origin} for key, value, origin in settings]
        failures = [{"at_ms": step.at_ms, "text": step.text} for step in steps]
        columns = [
            {"column": column, "from": source, "on_delete": deleted} for column, source, deleted in replicas
        ]
        print_json({"binding": name, "settings": shown_settings, "replicas": columns, "failures": failures})
        return
    print_table(("setting", "value", "from"), settings, empty="nothing holds")
    if replicas:
        write("")
        print_table(("column", "filled from", "on DELETE"), replicas, empty="")
    if steps:
        write("")
        rows = [(_time(step), step.text) for step in _shortened(steps)]
        print_table(("after", "a message that keeps failing"), rows, empty="")


def _settings(configuration: Configuration, planned: PlannedBinding) -> Iterator[Setting]:
    properties = configuration.properties.bindings[planned.name]
    side = "consumer" if planned.is_input else "producer"
    for path, value in _leaves(properties):
        own, _, _ = path.partition(".")
        if own == side or (own not in ("consumer", "producer") and (planned.is_input or path != "group")):
            yield _setting(configuration, planned.name, path, value)
    settings = configuration.binder(planned.binder)
    extended = settings.consumer(planned.name) if planned.is_input else settings.producer(planned.name)
    for path, value in _leaves(extended):
        yield _setting(configuration, planned.name, f"{side}.{path}", value, root=f"{settings.type_name}.")


def _leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    """What is set and has an effect, with dotted names; maps entry by entry."""
    for name, field in type(model).model_fields.items():
        value, path = getattr(model, name), f"{prefix}{field.alias or name}"
        if any(isinstance(item, NoEffect) for item in field.metadata):
            continue
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{path}.")
        elif isinstance(value, dict):
            yield from ((f"{path}.{key}", each) for key, each in value.items())
        elif value is not None:
            yield path, value


def _setting(configuration: Configuration, binding: str, key: str, value: object, *, root: str = "") -> Setting:
    places = (f"{root}bindings.[{binding}].{key}", f"{root}default.{key}")
    origin = next((found for place in places if (found := configuration.origin_of(place))), None)
    return f"{root}{key}", shown(key, value), DEFAULT if origin is None else str(origin)


def _steps(target: Target, planned: PlannedBinding, plan: InputPlan) -> list[Step]:
    assert target.application is not None
    letters = target.application.blueprint.letter_routes.get(planned.name)
    to = None if letters is None else ", ".join(dict.fromkeys(letters.destinations.values()))
    parking = target.configuration.properties.bindings[planned.name].consumer.parking
    return failure_plan(plan.budget, plan.policy, parking, letters=to)


def _shortened(steps: list[Step]) -> Iterator[Step]:
    """The tries of a parked message are many: the first ones and the last."""
    parked = [step for step in steps if step.text.endswith("of the parked message")]
    left_out = parked[_SHOWN_TRIES:-1]
    for step in steps:
        if step not in left_out:
            yield step
        elif step is left_out[0]:
            yield Step(None, f"... {len(left_out)} more attempts ...")


def _time(step: Step) -> str:
    if step.at_ms is None:
        return ""
    seconds = step.at_ms / 1000
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:.0f} min"
