"""A small OpenFX host in ctypes: it loads a bundle's library and drives it as a compositor would.

`facegraft ofx check` and the tests render with it. It serves the suites Property, ImageEffect,
Parameter and Message; values are constants or functions of time. Linux on x86-64 only: there a
variadic function may be served by one with a fixed number of arguments.

    host = OfxHost(Path("FaceGraft.ofx"))
    with host.create(GENERAL, {"model": "/models/ada.dfm", "mix": 0.5}) as instance:
        status = instance.render(0.0, source, output)
"""

import ctypes
import itertools
from collections.abc import Callable, Mapping
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_double, c_int, c_uint, c_void_p
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

FILTER = "OfxImageEffectContextFilter"
GENERAL = "OfxImageEffectContextGeneral"
OK, FAILED, ERR_UNKNOWN, MISSING_FEATURE, BAD_HANDLE, BAD_INDEX = 0, 1, 3, 4, 9, 10
REPLY_DEFAULT, BAD_FORMAT = 14, 1000

DEPTHS = {
    "u1": "OfxBitDepthByte",
    "u2": "OfxBitDepthShort",
    "f2": "OfxBitDepthHalf",
    "f4": "OfxBitDepthFloat",
}
COMPONENTS = {1: "OfxImageComponentAlpha", 3: "OfxImageComponentRGB", 4: "OfxImageComponentRGBA"}
_STYLE = "OfxImageEffectPropColourManagementStyle"
_STYLE_VALUE = "OfxImageEffectColourManagement"
PREMULTIPLIED, STRAIGHT = "OfxImageAlphaPremultiplied", "OfxImageAlphaUnPremultiplied"

_MAIN = CFUNCTYPE(c_int, c_char_p, c_void_p, c_void_p, c_void_p)
_FETCH = CFUNCTYPE(c_void_p, c_void_p, c_char_p, c_int)


class _Host(ctypes.Structure):
    _fields_ = [("host", c_void_p), ("fetch_suite", _FETCH)]


_SET_HOST = CFUNCTYPE(None, POINTER(_Host))


class _Plugin(ctypes.Structure):
    _fields_ = [
        ("api", c_char_p),
        ("api_version", c_int),
        ("identifier", c_char_p),
        ("major", c_uint),
        ("minor", c_uint),
        ("set_host", _SET_HOST),
        ("main", _MAIN),
    ]


@dataclass(eq=False)
class Properties:
    """A property set: name to list of values."""

    values: dict[str, list[Any]] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)  # memory that the plug-in was given pointers to


@dataclass(eq=False)
class Picture:
    """An image as a host hands it over.

    pixels: (H, W, C) uint8, uint16, float16 or float32, top row first; a view of `memory`.
    origin: x, y of the lower left corner, pixels.
    """

    pixels: np.ndarray
    memory: np.ndarray
    origin: tuple[int, int] = (0, 0)
    premultiplied: bool = False

    @classmethod
    def of(
        cls,
        pixels: np.ndarray,
        origin: tuple[int, int] = (0, 0),
        *,
        top_first: bool = False,
        padding: int = 0,
        premultiplied: bool = False,
    ) -> Self:
        """A copy of `pixels` in memory of its own. top_first: the top row comes first in memory
        (negative RowBytes). padding: pixels between the rows."""
        height, width, channels = pixels.shape
        memory = np.full((height, width + padding, channels), 77, pixels.dtype)
        view = memory[:, :width] if top_first else memory[::-1, :width]
        view[...] = pixels
        return cls(view, memory, origin, premultiplied)

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        height, width = self.pixels.shape[:2]
        x, y = self.origin
        return (x, y, x + width, y + height)

    def properties(self, aspect: float = 1.0) -> Properties:
        """What the plug-in reads; the data begins at the bottom row."""
        bottom = self.pixels[-1:]
        row_bytes = -self.pixels.strides[0]
        return Properties(
            {
                "OfxImagePropData": [bottom.__array_interface__["data"][0]],
                "OfxImagePropBounds": list(self.bounds),
                "OfxImagePropRowBytes": [row_bytes],
                "OfxImageEffectPropPixelDepth": [DEPTHS[self.pixels.dtype.str[1:]]],
                "OfxImageEffectPropComponents": [COMPONENTS[self.pixels.shape[2]]],
                "OfxImageEffectPropPreMultiplication": [
                    PREMULTIPLIED if self.premultiplied else STRAIGHT
                ],
                "OfxImagePropPixelAspectRatio": [aspect],
            }
        )


@dataclass(eq=False)
class Param:
    """A parameter as it was described, and its value: a constant, or a function of time."""

    kind: str
    name: str
    properties: Properties
    value: Any = None


@dataclass(eq=False)
class Clip:
    """A clip: what it was described as, and the picture it holds now."""

    name: str
    properties: Properties
    picture: Picture | None = None


@dataclass(eq=False)
class Effect:
    """A descriptor or an instance."""

    properties: Properties = field(default_factory=Properties)
    clips: dict[str, Clip] = field(default_factory=dict)
    params: dict[str, Param] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)  # all that were ever shown
    shown: str = ""  # the persistent message now
    aborted: Callable[[], bool] = lambda: False


class OfxHost:
    """A host with one plug-in loaded and described.

    name: what the host calls itself. without: suites it does not have, "OfxMessageSuite 2" for one
    version of a suite. style: of OpenFX 1.5's colour management, such as "Core"; "" for a host that
    does not know of it. A library belongs to the last host that loaded it: for several hosts in one
    process, load copies of the file.
    """

    def __init__(
        self,
        library: Path,
        name: str = "org.facegraft.host",
        without: tuple = (),
        style: str = "",
    ) -> None:
        """Raises: OSError where the library cannot be loaded; RuntimeError where it refuses the
        host or does not describe itself."""
        self._objects: dict[int, Any] = {}
        self._next = itertools.count(1 << 20)
        self._without = without
        self._suites = {
            "OfxPropertySuite 1": _table(self._property_suite()),
            "OfxImageEffectSuite 1": _table(self._effect_suite()),
            "OfxParameterSuite 1": _table(self._param_suite()),
            "OfxMessageSuite 1": _table(self._message_suite()[:1]),
            "OfxMessageSuite 2": _table(self._message_suite()),
        }
        self.images_out = 0  # handed out and not released
        self._style = {_STYLE: [_STYLE_VALUE + style]} if style else {}
        own = Properties({"OfxPropName": [name], **self._style})
        self._struct = _Host(self._handle(own), _FETCH(self._fetch))
        self._library = ctypes.CDLL(str(library), mode=ctypes.RTLD_LOCAL)
        self._library.OfxGetPlugin.restype = POINTER(_Plugin)
        self.plugin = self._library.OfxGetPlugin(0).contents
        self.plugin.set_host(ctypes.byref(self._struct))
        self.descriptor = Effect()
        self._must("OfxActionLoad", None)
        self._must("OfxActionDescribe", self.descriptor)

    def describe(self, context: str) -> Effect:
        """The node in a context. Raises: RuntimeError."""
        effect = Effect(Properties({"OfxImageEffectPropContext": [context], **self._style}))
        given = Properties({"OfxImageEffectPropContext": [context]})
        self._must("OfxImageEffectActionDescribeInContext", effect, given)
        return effect

    def create(self, context: str, values: Mapping[str, Any]) -> "Instance":
        """An instance whose parameters have these values (choices by their text), or their
        defaults. Raises: RuntimeError, KeyError for a parameter that there is not."""
        effect = self.describe(context)
        for param in effect.params.values():
            default = param.properties.values.get("OfxParamPropDefault", [0])
            param.value = tuple(default) if param.kind.endswith("2D") else default[0]
        for name, value in values.items():
            effect.params[name].value = value
        self._must("OfxActionCreateInstance", effect)
        return Instance(self, effect)

    def act(self, action: str, effect: Effect | None, given: Any = None, answer: Any = None) -> int:
        """Call the plug-in; its status."""
        handles = [None if x is None else self._handle(x) for x in (effect, given, answer)]
        try:
            return self.plugin.main(action.encode(), *handles)
        finally:
            for handle in handles[1:]:
                if handle is not None:
                    self._objects.pop(handle, None)

    def _must(self, action: str, effect: Effect | None, given: Any = None) -> None:
        status = self.act(action, effect, given)
        if status not in (OK, REPLY_DEFAULT):
            raise RuntimeError(f"{action} gave status {status}")

    def _handle(self, thing: Any) -> int:
        """A number that stands for an object; effects, clips and sets keep theirs."""
        number = getattr(thing, "_ofx_handle", None)
        if number is None:
            number = next(self._next)
            thing._ofx_handle = number
        self._objects[number] = thing
        return number

    def _fetch(self, _host: int, name: bytes, version: int) -> int:
        key = f"{name.decode()} {version}"
        if key in self._without or name.decode() in self._without or key not in self._suites:
            return 0
        return ctypes.addressof(self._suites[key])

    # --- suites; each function in its place ---------------------------------------------------

    def _property_suite(self) -> list[Any]:
        def setter(kind: Any, plain: Callable[[Any], Any]) -> Any:
            def put(handle: int, name: bytes, index: int, value: Any) -> int:
                values = self._objects[handle].values.setdefault(name.decode(), [])
                values.extend([None] * (index + 1 - len(values)))
                values[index] = plain(value)
                return OK

            return CFUNCTYPE(c_int, c_void_p, c_char_p, c_int, kind)(put)

        def setter_n(kind: Any) -> Any:
            def put(handle: int, name: bytes, count: int, values: Any) -> int:
                self._objects[handle].values[name.decode()] = list(values[:count])
                return OK

            return CFUNCTYPE(c_int, c_void_p, c_char_p, c_int, POINTER(kind))(put)

        def getter(kind: Any, many: bool) -> Any:
            def get(handle: int, name: bytes, index: int, to: Any) -> int:
                thing = self._objects[handle]
                values = thing.values.get(name.decode())
                if values is None:
                    return ERR_UNKNOWN
                if (index > len(values)) if many else (index >= len(values)):
                    return BAD_INDEX
                for place, value in enumerate(values[:index] if many else [values[index]]):
                    if isinstance(value, str):
                        value = value.encode()
                        thing.kept.append(value)
                    to[place] = value
                return OK

            return CFUNCTYPE(c_int, c_void_p, c_char_p, c_int, POINTER(kind))(get)

        def dimension(handle: int, name: bytes, to: Any) -> int:
            to[0] = len(self._objects[handle].values.get(name.decode(), []))
            return OK

        def text(value: bytes) -> str:
            return value.decode()

        kinds = (c_void_p, c_char_p, c_double, c_int)
        return [
            setter(c_void_p, lambda value: value),
            setter(c_char_p, text),
            setter(c_double, float),
            setter(c_int, int),
            *(setter_n(kind) for kind in kinds),
            *(getter(kind, False) for kind in kinds),
            *(getter(kind, True) for kind in kinds),
            CFUNCTYPE(c_int, c_void_p, c_char_p)(lambda _handle, _name: OK),
            CFUNCTYPE(c_int, c_void_p, c_char_p, POINTER(c_int))(dimension),
        ]

    def _effect_suite(self) -> list[Any]:
        def properties_of(handle: int, to: Any) -> int:
            to[0] = self._handle(self._objects[handle].properties)
            return OK

        def params_of(handle: int, to: Any) -> int:
            to[0] = handle  # the effect stands for its own parameters
            return OK

        def define(handle: int, name: bytes, to: Any) -> int:
            clip = Clip(name.decode(), Properties())
            self._objects[handle].clips[clip.name] = clip
            to[0] = self._handle(clip.properties)
            return OK

        def clip_of(handle: int, name: bytes, to: Any, properties: Any) -> int:
            clip = self._objects[handle].clips.get(name.decode())
            if clip is None:
                return ERR_UNKNOWN
            to[0] = self._handle(clip)
            if properties:
                properties[0] = self._handle(clip.properties)
            return OK

        def image(handle: int, _time: float, _region: Any, to: Any) -> int:
            picture = self._objects[handle].picture
            if picture is None:
                return FAILED
            self.images_out += 1
            to[0] = self._handle(picture.properties())
            return OK

        def release(handle: int) -> int:
            if self._objects.pop(handle, None) is None:
                return BAD_HANDLE
            self.images_out -= 1
            return OK

        def region(handle: int, _time: float, to: Any) -> int:
            picture = self._objects[handle].picture
            if picture is None:
                return FAILED
            for place, value in enumerate(picture.bounds):
                to[place] = value
            return OK

        def nothing() -> int:
            return FAILED

        pointer = POINTER(c_void_p)
        return [
            CFUNCTYPE(c_int, c_void_p, pointer)(properties_of),
            CFUNCTYPE(c_int, c_void_p, pointer)(params_of),
            CFUNCTYPE(c_int, c_void_p, c_char_p, pointer)(define),
            CFUNCTYPE(c_int, c_void_p, c_char_p, pointer, pointer)(clip_of),
            CFUNCTYPE(c_int, c_void_p, pointer)(properties_of),
            CFUNCTYPE(c_int, c_void_p, c_double, c_void_p, pointer)(image),
            CFUNCTYPE(c_int, c_void_p)(release),
            CFUNCTYPE(c_int, c_void_p, c_double, POINTER(c_double))(region),
            CFUNCTYPE(c_int, c_void_p)(lambda handle: self._objects[handle].aborted()),
            *(CFUNCTYPE(c_int)(nothing) for _ in range(4)),  # image memory: not served
        ]

    def _param_suite(self) -> list[Any]:
        def define(handle: int, kind: bytes, name: bytes, to: Any) -> int:
            param = Param(kind.decode(), name.decode(), Properties())
            self._objects[handle].params[param.name] = param
            if to:
                to[0] = self._handle(param.properties)
            return OK

        def param_of(handle: int, name: bytes, to: Any, _properties: Any) -> int:
            param = self._objects[handle].params.get(name.decode())
            if param is None:
                return ERR_UNKNOWN
            to[0] = self._handle(param)
            return OK

        def value_at(handle: int, time: float, to: int, second: int) -> int:
            param = self._objects[handle]
            value: Any = param.value(time) if callable(param.value) else param.value
            options = param.properties.values.get("OfxParamPropChoiceOption", [])
            if isinstance(value, str) and options:
                value = options.index(value)
            if isinstance(value, str):
                data = ctypes.create_string_buffer(value.encode())
                param.properties.kept.append(data)
                ctypes.cast(to, POINTER(c_void_p))[0] = ctypes.addressof(data)
            elif isinstance(value, tuple):
                for at, number in zip((to, second), value, strict=True):
                    ctypes.cast(at, POINTER(c_double))[0] = number
            elif param.kind == "OfxParamTypeDouble":
                ctypes.cast(to, POINTER(c_double))[0] = value
            else:
                ctypes.cast(to, POINTER(c_int))[0] = int(value)
            return OK

        def nothing() -> int:
            return FAILED

        pointer = POINTER(c_void_p)
        return [
            CFUNCTYPE(c_int, c_void_p, c_char_p, c_char_p, pointer)(define),
            CFUNCTYPE(c_int, c_void_p, c_char_p, pointer, pointer)(param_of),
            *(CFUNCTYPE(c_int)(nothing) for _ in range(3)),
            CFUNCTYPE(c_int, c_void_p, c_double, c_void_p, c_void_p)(value_at),
            *(CFUNCTYPE(c_int)(nothing) for _ in range(12)),
        ]

    def _message_suite(self) -> list[Any]:
        def show(handle: int, _kind: bytes, _id: bytes, form: bytes, text: bytes) -> int:
            effect = self._objects[handle]
            effect.messages.append(text.decode() if form == b"%s" else f"unexpected form {form!r}")
            return OK

        def show_until_cleared(
            handle: int, kind: bytes, id: bytes, form: bytes, text: bytes
        ) -> int:
            show(handle, kind, id, form, text)
            self._objects[handle].shown = text.decode()
            return OK

        def clear(handle: int) -> int:
            self._objects[handle].shown = ""
            return OK

        kind = CFUNCTYPE(c_int, c_void_p, c_char_p, c_char_p, c_char_p, c_char_p)
        return [kind(show), kind(show_until_cleared), CFUNCTYPE(c_int, c_void_p)(clear)]


class Instance:
    """An instance of the node; its clips hold what `render` gives them."""

    def __init__(self, host: OfxHost, effect: Effect) -> None:
        self._host = host
        self.effect = effect

    def render(
        self,
        time: float,
        source: Picture | None,
        output: Picture,
        *,
        mask: Picture | None = None,
        window: tuple[int, int, int, int] | None = None,
        scale: float = 1.0,
    ) -> int:
        """Render into `output`; the status. One thread at a time for each instance."""
        self._connect(source, output, mask)
        given = Properties(
            {
                "OfxPropTime": [time],
                "OfxImageEffectPropRenderWindow": list(window or output.bounds),
                "OfxImageEffectPropRenderScale": [scale, scale],
            }
        )
        return self._host.act("OfxImageEffectActionRender", self.effect, given)

    def identity(self, time: float) -> str:
        """Name of the clip that the node says it equals at this time, "" for none."""
        answer = Properties()
        given = Properties({"OfxPropTime": [time]})
        status = self._host.act("OfxImageEffectActionIsIdentity", self.effect, given, answer)
        return answer.values["OfxPropName"][0] if status == OK else ""

    def needed(self, source: Picture) -> list[float]:
        """The part of the source that the node needs for one pixel of its output."""
        self._connect(source, source, None)
        answer = Properties()
        given = Properties({"OfxPropTime": [0.0], "OfxImageEffectPropRegionOfInterest": [0.0] * 4})
        self._host.act("OfxImageEffectActionGetRegionsOfInterest", self.effect, given, answer)
        return answer.values["OfxImageClipPropRoI_Source"]

    def set_colour(self, space: str) -> None:
        """Say what the source's numbers are, by a name of OpenFX 1.5; "" says nothing."""
        properties = self.effect.clips["Source"].properties.values
        properties.pop("OfxImageClipPropColourspace", None)
        if space:
            properties["OfxImageClipPropColourspace"] = [space]

    def preferences(self) -> dict[str, list[Any]]:
        """What the node wants of its clips; empty where it has no wishes."""
        answer = Properties()
        self._host.act("OfxImageEffectActionGetClipPreferences", self.effect, None, answer)
        return answer.values

    def output_colour(self) -> str:
        """What the node says its output's numbers are."""
        answer = Properties()
        given = Properties({"OfxImageClipPropPreferredColourspaces": ["OfxColourspace_Source"]})
        action = "OfxImageEffectActionGetOutputColourspace"
        status = self._host.act(action, self.effect, given, answer)
        return answer.values["OfxImageClipPropColourspace"][0] if status == OK else ""

    def _connect(self, source: Picture | None, output: Picture, mask: Picture | None) -> None:
        pictures = {"Source": source, "Output": output, "Mask": mask}
        for name, clip in self.effect.clips.items():
            clip.picture = pictures[name]
            clip.properties.values["OfxImageClipPropConnected"] = [int(clip.picture is not None)]

    def close(self) -> None:
        """Destroy the instance."""
        self._host.act("OfxActionDestroyInstance", self.effect)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _table(functions: list[Any]) -> Any:
    """A suite as C sees it: pointers in their order. The functions live as long as it does."""
    pointers = [ctypes.cast(function, c_void_p) for function in functions]
    table = (c_void_p * len(pointers))(*pointers)
    table._functions = functions  # pyright: ignore[reportAttributeAccessIssue]
    return table
