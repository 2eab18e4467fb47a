from __future__ import annotations

import pytest

from tests.unit.configuration.conftest import Configured, shown

GROUPS = """
streambind.bindings.in-x.group: base
---
spring.config.activate.on-profile: {one}
streambind.bindings.in-x.group: one
---
spring.config.activate.on-profile: {two}
streambind.bindings.in-x.group: two
"""


@pytest.mark.parametrize(
    ("one", "two", "active", "group"),
    [
        ("a", "b", "", "base"),
        ("a", "b", "a", "one"),
        ("a", "b", "b,a", "two"),
        ("a", "'!b'", "a", "two"),
        ("a & b", "c", "a", "base"),
        ("a & b", "c", "a,b", "one"),
        ("[a, b]", "c", "b", "one"),
        ("'a, b'", "c", "b", "one"),
        ("default", "c", "", "one"),
    ],
)
def test_document_order_decides_among_active_documents(
    configured: Configured, one: str, two: str, active: str, group: str
) -> None:
    environ = {"SPRING_PROFILES_ACTIVE": active} if active else {}
    configuration = configured(GROUPS.format(one=one, two=two), environ=environ)
    assert shown(configuration) == []
    assert configuration.properties.bindings["in-x"].group == group


def test_the_old_spelling_activates_too(configured: Configured) -> None:
    text = "spring.profiles: [a, '!b']\nstreambind.instanceCount: 7\n"
    assert configured(text).properties.instance_count == 7
    assert configured(text, environ={"SPRING_PROFILES_ACTIVE": "b"}).properties.instance_count == 1
    assert configured(text, environ={"SPRING_PROFILES_ACTIVE": "b,a"}).properties.instance_count == 7


def test_both_spellings_in_one_document_are_an_error(configured: Configured) -> None:
    configuration = configured("spring.profiles: a\nspring.config.activate.on-profile: a\nstreambind: {}\n")
    assert shown(configuration) == [
        "application.yaml:1:8  error  'spring.profiles' and 'spring.config.activate.on-profile' in one document;"
        " keep the latter"
    ]


def test_a_file_of_a_profile_wins_over_the_main_file(configured: Configured) -> None:
    main = """
    spring.profiles.active: b,a
    streambind: {instanceCount: 1, bindings: {in-x: {group: main}}}
    ---
    spring.config.activate.on-profile: a
    streambind.instanceCount: 2
    """
    configuration = configured(
        main,
        b="streambind.instanceCount: 4",
        a="streambind.instanceCount: 3\n---\nspring.config.activate.on-profile: z\nstreambind.bindings.in-z: {}\n",
        c="streambind.bindings.in-c.group: c",
    )
    assert shown(configuration) == []
    assert configuration.active_profiles == ("b", "a")
    assert configuration.properties.instance_count == 3
    assert configuration.inactive_bindings == {"in-z": ("z",), "in-c": ("c",)}


def test_the_highest_source_replaces_the_active_profiles(configured: Configured) -> None:
    text = "spring.profiles: {active: file, include: more}\nstreambind: {}\n"
    variable = {"SPRING_PROFILES_ACTIVE": "env"}
    argument = ["--spring.profiles.active=arg"]
    assert configured(text).active_profiles == ("more", "file")
    assert configured(text, environ=variable).active_profiles == ("more", "env")
    assert configured(text, environ=variable, arguments=argument).active_profiles == ("more", "arg")
    code = {"spring.profiles.active": ["code", "d"]}
    assert configured(text, environ=variable, arguments=argument, overrides=code).active_profiles == (
        "more",
        "code",
        "d",
    )


def test_profiles_take_placeholders_and_groups(configured: Configured) -> None:
    text = """
    spring:
      profiles:
        active: ${WHERE:local}
        group: {prod: [db, mq], local: memory}
    ---
    spring.config.activate.on-profile: ${FOR:mq}
    streambind.instanceCount: 5
    """
    assert configured(text).active_profiles == ("local", "memory")
    configuration = configured(text, environ={"WHERE": "prod"})
    assert configuration.active_profiles == ("prod", "db", "mq")
    assert configuration.properties.instance_count == 5
    assert configured(text, environ={"WHERE": "prod", "FOR": "x"}).properties.instance_count == 1


def test_another_default_profile_is_taken_when_none_is_active(configured: Configured) -> None:
    assert configured("spring.profiles.default: dev\nstreambind: {}\n").active_profiles == ("dev",)


@pytest.mark.parametrize("key", ["active", "default", "include", "group.x"])
def test_a_document_for_a_profile_cannot_choose_profiles(configured: Configured, key: str) -> None:
    text = f"streambind: {{}}\n---\nspring.config.activate.on-profile: a\nspring.profiles.{key}: b\n"
    configuration = configured(text)
    assert configuration.active_profiles == ("default",)
    assert shown(configuration) == [
        f"application.yaml:4:{17 if key != 'group.x' else 23}  error  'spring.profiles.{key}' stands in a document"
        " that a profile activates; move it to one without"
    ]


def test_a_file_for_a_profile_cannot_choose_profiles(configured: Configured) -> None:
    configuration = configured("streambind: {}", a="spring.profiles.active: b")
    assert [f.text for f in configuration.findings] == [
        "'spring.profiles.active' stands in a document that a profile activates; move it to one without"
    ]


def test_mistakes_in_expressions_and_names_have_a_place(configured: Configured) -> None:
    text = """
    spring.profiles.active: '-x,ok'
    ---
    spring.config.activate.on-profile: a & b | c
    streambind.bindings.in-x: {}
    """
    configuration = configured(text)
    assert shown(configuration) == [
        "application.yaml:2:25  error  '-x' is no profile name; use letters and digits, and - _ . + @ between"
        " them",
        "application.yaml:4:36  error  malformed profile expression 'a & b | c'; write names with !, & and |, and"
        " parentheses where & and | are mixed",
    ]
    assert configuration.active_profiles == ("ok",)
    assert configuration.properties.bindings == {}


def test_a_profile_that_nothing_mentions_but_something_similar_is_a_warning(configured: Configured) -> None:
    text = "spring.config.activate.on-profile: docker\nstreambind: {}\n"
    assert shown(configured(text, environ={"SPRING_PROFILES_ACTIVE": "dokcer"})) == [
        "environment variable SPRING_PROFILES_ACTIVE  warning  no document is for the profile 'dokcer'; did you"
        " mean 'docker'?"
    ]
    assert shown(configured(text, environ={"SPRING_PROFILES_ACTIVE": "production"})) == []


def test_what_is_not_read_is_said(configured: Configured) -> None:
    text = """
    spring.config.import: other.yaml
    ---
    spring.config.activate.on-cloud-platform: kubernetes
    streambind.bindings.in-x: {}
    """
    configuration = configured(text)
    assert shown(configuration) == [
        "application.yaml:2:15  warning  'spring.config.import': other files are not imported",
        "application.yaml:4:24  warning  'spring.config.activate.on-cloud-platform': cloud platforms are not"
        " detected; the document is not active",
    ]
    assert configuration.inactive_bindings == {"in-x": ()}


@pytest.mark.parametrize(
    ("condition", "profiles"),
    [("a | b", ("a", "b")), ("a & b", ("a", "b")), ("'!default'", ()), ("a & !b", ("a",))],
)
def test_inactive_bindings_name_the_profiles(
    configured: Configured, condition: str, profiles: tuple[str, ...]
) -> None:
    text = f"spring.config.activate.on-profile: {condition}\nspring.cloud.stream.bindings.in-x.group: g\n"
    assert configured(text).inactive_bindings == {"in-x": profiles}


def test_a_binding_that_is_active_elsewhere_is_not_inactive(configured: Configured) -> None:
    text = "streambind.bindings.IN-x: {}\n---\nspring.profiles: a\nstreambind.bindings.in-x.group: g\n"
    assert configured(text).inactive_bindings == {}
