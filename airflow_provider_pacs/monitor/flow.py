"""A run in the journal, and the tasks of its Airflow run -> the state of each step, for the run and per
entity.

A step whose task Airflow knows is as Airflow says; what became of the data is as the journal says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_pacs.monitor.airflow_runs import AirflowRun, TaskState
from airflow_provider_pacs.monitor.models_flow import STEPS, FlowStep, StepName, StepState
from airflow_provider_pacs.monitor.status import is_tried_again
from airflow_provider_pacs.sync.records import CertificateState
from airflow_provider_pacs.sync.target.postgres.read_records import EntityRow, FailureRow, RunRow

_TASK_STATES: dict[str, StepState] = {
    "success": "done",
    "failed": "failed",
    "upstream_failed": "not_reached",
    "skipped": "not_reached",
    "scheduled": "queued",
    "queued": "queued",
    "running": "running",
    "up_for_retry": "retrying",
    "restarting": "retrying",
    "awaiting_input": "waits",
}
_WORDS: dict[StepState, str] = {
    "waits": "waits",
    "queued": "queued",
    "running": "at work",
    "retrying": "is tried again",
    "done": "done",
    "pending": "deletes wait for a person",
    "drift": "drift",
    "blocked": "keeps its last good data",
    "failed": "failed",
    "not_reached": "was not reached",
    "superseded": "a later run took over",
}
_WORST: tuple[StepState, ...] = (
    "failed", "blocked", "drift", "retrying", "running", "queued", "pending", "superseded", "waits",
    "not_reached", "done",
)  # fmt: skip
"""What a step is where its entities differ: the most urgent."""


@dataclass(frozen=True, slots=True)
class FlowFacts:
    """What a flow is made of.

    Attributes:
        run: the journal's run; None while there is none yet.
        entities: its entities, or their names alone while there is no run.
        failures: what failed in it, newest first.
        airflow: its Airflow run, where Airflow's is at work or failed.
        certified: states of its certificate by entity.
        most_tries: how often Airflow tries a step, for steps that it says nothing of.
    """

    run: RunRow | None
    entities: Sequence[EntityRow]
    failures: Sequence[FailureRow] = ()
    airflow: AirflowRun | None = None
    certified: Mapping[str, CertificateState] | None = None
    most_tries: int = 1


def starting_steps(airflow: AirflowRun) -> list[FlowStep]:
    """The steps of a run as its tasks in Airflow say: the journal does not know it yet, or can't be asked."""
    if airflow.state == "queued":
        return [_step(name, "waits" if made else "queued", None) for made, name in enumerate(STEPS)]
    if not airflow.tasks:  # the journal knows that it was refused
        return [_step(name, "not_reached" if made else "failed", None) for made, name in enumerate(STEPS)]
    rest: StepState = "not_reached" if airflow.state == "failed" else "waits"
    steps = []
    for name in STEPS:
        own = [
            task
            for task in airflow.tasks.values()
            if task.task_id == name or task.task_id.startswith(f"{name}_")
        ]
        states = [(_TASK_STATES.get(task.state or "", rest), task) for task in own]
        state, task = min(states, key=lambda each: _WORST.index(each[0]), default=(rest, None))
        steps.append(_step(name, state, task))
    return steps


def entity_steps(row: EntityRow, facts: FlowFacts) -> list[FlowStep]:
    """Extract, validate, publish and certify of one entity; from a failed or blocked step on none is well."""
    tasks = facts.airflow.tasks if facts.airflow else {}
    extract, validate = tasks.get(f"extract_{row.entity}"), tasks.get(f"validate_{row.entity}")
    states = _of_data(row, facts)
    again = next(
        (each for each in facts.failures if each.entity == row.entity and _is_again(each, facts)), None
    )
    if again is not None:
        states["validate" if again.step.startswith("validate_") else "extract"] = "retrying"
        noted = TaskState(again.step, None, max(row.attempt, 1), max(facts.most_tries, row.attempt), None)
        extract = extract or (noted if states["extract"] == "retrying" else None)
        validate = validate or (noted if states["validate"] == "retrying" else None)
    return [
        _step("extract", _at_work(states["extract"], extract), extract),
        _step("validate", _at_work(states["validate"], validate), validate),
        _step("publish", states["publish"], None),
        _step("certify", states["certify"], None),
    ]


def run_steps(entities: Mapping[str, Sequence[FlowStep]], facts: FlowFacts) -> list[FlowStep]:
    """The five steps of a run, each as its entities are at worst, and as its own task is."""
    run, tasks = facts.run, facts.airflow.tasks if facts.airflow else {}
    if run is None:
        raise ValueError("a run that the journal does not know has `starting_steps`")
    made = [_step("preflight", "done", tasks.get("preflight"))]
    for name in STEPS[1:]:
        states = [step.state for steps in entities.values() for step in steps if step.step == name]
        worst: StepState = min(states, key=_WORST.index, default="waits")
        task = tasks.get(name)
        if name in ("publish", "certify"):
            worst = _at_work(_as_tried(name, worst, facts), task)
        made.append(_step(name, worst, task))
    return made


def _of_data(row: EntityRow, facts: FlowFacts) -> dict[StepName, StepState]:
    """What became of the entity's rows, step by step."""
    run = facts.run
    ended = run is not None and run.finished_at is not None
    rest: StepState = "not_reached" if ended else "waits"
    if ended and run is not None and run.state == "superseded" and row.state != "published":
        rest = "superseded"
    match row.state:
        case "planned":
            begun: list[StepState] = [rest] * 4
        case "extracting":
            begun = [rest if ended else "running", rest, rest, rest]
        case "staged":
            begun = ["done", rest, rest, rest]
        case "passed":
            begun = ["done", "done", rest, rest]
        case "published":
            begun = ["done", "done", "done", _certified(row, facts, rest)]
        case "blocked":
            begun = ["done", "blocked", "blocked", "blocked"]
        case "failed":
            begun = (
                ["done", "failed", "blocked", "blocked"]
                if row.rows_staged
                else ["failed", "blocked", "blocked", "blocked"]
            )
    return dict(zip(STEPS[1:], begun, strict=True))


def _certified(row: EntityRow, facts: FlowFacts, rest: StepState) -> StepState:
    state = (facts.certified or {}).get(row.entity)
    if state is None:
        return "failed" if facts.run is not None and facts.run.state == "failed" else rest
    words: dict[CertificateState, StepState] = {
        "clean": "done", "pending": "pending", "drift": "drift", "blocked": "blocked",
    }  # fmt: skip
    return words[state]


def _at_work(state: StepState, task: TaskState | None) -> StepState:
    """A step that is not over is as its task is."""
    if task is None or state not in ("waits", "running", "retrying"):
        return state
    said = _TASK_STATES.get(task.state or "", state)
    return state if said in ("done", "not_reached") else said


def _as_tried(name: StepName, state: StepState, facts: FlowFacts) -> StepState:
    if state not in ("waits", "running"):
        return state
    again = any(each.step == name and _is_again(each, facts) for each in facts.failures)
    return "retrying" if again else state


def _is_again(failure: FailureRow, facts: FlowFacts) -> bool:
    return facts.run is not None and is_tried_again(failure, facts.run)


def _step(name: StepName, state: StepState, task: TaskState | None) -> FlowStep:
    shows_tries = task is not None and (
        state == "retrying" or (task.attempt > 1 and state in ("running", "queued"))
    )
    return FlowStep(
        step=name,
        state=state,
        text=_WORDS[state],
        attempt=task.attempt if task and shows_tries else None,
        most_tries=task.most_tries if task and shows_tries else None,
        next_try_at=task.next_try_at if task and state == "retrying" else None,
    )
