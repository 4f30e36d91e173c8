"""A dashboard against the types of Grafana's own SDK (grafana-foundation-sdk): every field is one that Grafana knows, and
has the type that Grafana expects.

The SDK reads a dashboard without complaint and drops what it does not know. So each field must be there again when the
SDK writes the dashboard, and each object that it made is compared with the types that the SDK declares.
"""

import enum
import json
import types
import typing

from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

plugins.register_default_plugins()
UNITS = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("__")}


def _lost(given, written, path):
    """Fields that the SDK did not write again as they were."""
    if isinstance(given, dict) and isinstance(written, dict):
        for key, value in given.items():
            if key not in written:
                # The SDK leaves out what is null.
                if value is not None:
                    yield f"{path}.{key} is no field that Grafana knows"
            else:
                yield from _lost(value, written[key], f"{path}.{key}")
    elif isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        for place, (one, other) in enumerate(zip(given, written)):
            yield from _lost(one, other, f"{path}[{place}]")
    elif given != written:
        yield f"{path} is {json.dumps(given)}, and Grafana reads {json.dumps(written)}"


def _fits(value, hint):
    """Whether `value` may stand where the SDK declares `hint`."""
    origin = typing.get_origin(hint)
    if hint in (typing.Any, object):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if origin is list:
        return isinstance(value, list) and all(_fits(one, (typing.get_args(hint) or (object,))[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return value in [one.value for one in hint]
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, dict) and hasattr(hint, "from_json"):
        # The SDK leaves some objects as they were read.
        made = hint.from_json(value)
        return not [*_lost(value, json.loads(json.dumps(made, cls=JSONEncoder)), ""), *_mistyped(made, "")]
    if isinstance(hint, type):
        return isinstance(value, hint)
    return True


def _mistyped(value, path):
    """Fields of the SDK's objects whose values have another type than declared."""
    if isinstance(value, list):
        for place, one in enumerate(value):
            yield from _mistyped(one, f"{path}[{place}]")
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _mistyped(one, f"{path}.{key}")
    elif hasattr(value, "to_json") and not isinstance(value, enum.Enum):
        hints = typing.get_type_hints(type(value))
        for name, one in vars(value).items():
            if name in hints and not _fits(one, hints[name]):
                yield f"{path}.{name} has a value that Grafana does not take: {json.dumps(one, cls=JSONEncoder)[:80]}"
            yield from _mistyped(one, f"{path}.{name}")


def _units(value):
    if isinstance(value, dict):
        for key, one in value.items():
            if key == "unit":
                if not one.startswith("suffix:") and one not in UNITS:
                    yield f"'{one}' is no unit of Grafana"
            else:
                yield from _units(one)
    elif isinstance(value, list):
        for one in value:
            yield from _units(one)


def _kinds(dashboard):
    for panel in dashboard.get("panels", []):
        if panel.get("type") != "row" and runtime.panelcfg_config(panel.get("type", "")) is None:
            yield f"'{panel.get('type')}' is no panel of Grafana"


def wrong_in(dashboard):
    """Sentences about what Grafana's types do not know or do not take."""
    made = Dashboard.from_json(dashboard)
    written = json.loads(json.dumps(made, cls=JSONEncoder))
    return [
        *_lost(dashboard, written, "dashboard"),
        *_mistyped(made, "dashboard"),
        *_kinds(dashboard),
        *sorted(set(_units(dashboard))),
    ]
