"""An action of the page -> the request of Airflow's own REST API that does it, made for the same user.

It goes to the app that serves this request, inside the process: Airflow's authorisation decides and Airflow's
audit log records it, as if the user had pressed the button of Airflow's own page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import httpx
from anyio import from_thread
from fastapi import Depends, HTTPException, Request

_ALONG = ("authorization", "cookie")
_REFUSALS = {401, 403, 404, 409}


@dataclass(frozen=True, slots=True)
class AirflowApi:
    """Airflow's API version 2, as the user of a request.

    Raises from each call:
        HTTPException: Airflow's own refusal, with its words.
    """

    app: Any
    base_url: str
    headers: dict[str, str]

    def trigger(self, dag_id: str, conf: dict[str, Any], note: str) -> str:
        """Start a run; returns its id."""
        body = {"logical_date": None, "conf": conf, "note": note}
        return str(self._ask("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def pause(self, dag_id: str, paused: bool) -> None:
        """Pause the DAG, or resume it."""
        self._ask("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": paused})

    def clear_failed(self, dag_id: str, run_id: str) -> int:
        """Have a run's failed tasks tried again; returns how many."""
        body = {"dry_run": False, "only_failed": True, "reset_dag_runs": True, "dag_run_id": run_id}
        return int(self._ask("POST", f"/dags/{dag_id}/clearTaskInstances", body)["total_entries"])

    def open_questions(self, dag_id: str) -> list[tuple[str, str]]:
        """Runs and tasks that wait for a person's answer, newest first."""
        path = f"/dags/{dag_id}/dagRuns/~/hitlDetails?response_received=false&limit=100"
        return [
            (str(answered["task_instance"]["dag_run_id"]), str(answered["task_instance"]["task_id"]))
            for answered in reversed(self._ask("GET", path)["hitl_details"])
        ]

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/return_value?stringify=false"
        return self._ask("GET", path)["value"]

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Answer a question."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/-1/hitlDetails"
        self._ask("PATCH", path, {"chosen_options": [option], "params_input": {}})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = from_thread.run(self._send, method, f"/api/v2{path}", body)
        if answer.is_success:
            answered: dict[str, Any] = answer.json()
            return answered
        status = answer.status_code if answer.status_code in _REFUSALS else 502
        raise HTTPException(status, f"Airflow answered {answer.status_code}: {_words(answer)}")

    async def _send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url=self.base_url, headers=self.headers, timeout=20
        ) as client:
            return await client.request(method, path, json=body)


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _words(answer: httpx.Response) -> str:
    try:
        detail = answer.json().get("detail", "")
    except ValueError:
        return "no reason"
    return detail if isinstance(detail, str) else "the request does not fit this version of Airflow"


def airflow_api(request: Request) -> AirflowApi:
    """Airflow's API for the user of this request, as a dependency."""
    from airflow.api_fastapi.main import app

    headers = {name: value for name in _ALONG if (value := request.headers.get(name))}
    return AirflowApi(app, f"{request.url.scheme}://{request.url.netloc}", headers)


AirflowApiDep = Annotated[AirflowApi, Depends(airflow_api)]
