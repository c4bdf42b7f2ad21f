"""Serving the site: gunicorn with threads, because requests wait for Stripe."""

import logging
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http.errors import NoMoreData, ParseException

from donorportal import edge
from donorportal.app import create_app, start_worker
from donorportal.config import Settings
from donorportal.jobs.thread import EmbeddedWorker


def run(settings: Settings, *, bind: str, workers: int, threads: int) -> None:
    """Serve until told to stop; requests in flight are finished."""
    _Server(settings, bind=bind, workers=workers, threads=threads).run()


class _Server(BaseApplication):
    def __init__(self, settings: Settings, **options: Any) -> None:
        self._settings = settings
        self._options = options | {
            "worker_class": "gthread",
            "logger_class": _Log,
            "control_socket_disable": True,
            "graceful_timeout": 30,
            "max_requests": 50_000,
            "max_requests_jitter": 5_000,
            "post_worker_init": self._begin_work,
            "worker_exit": self._end_work,
        }
        self._worker: EmbeddedWorker | None = None
        super().__init__()

    def _begin_work(self, process: Any) -> None:
        self._worker = start_worker(process.app.callable)

    def _end_work(self, _server: Any, _process: Any) -> None:
        """Finish the jobs in hand, so that nobody has to wait for their leases to end."""
        if self._worker is not None:
            self._worker.stop()

    def load_config(self) -> None:
        """Take over our options; gunicorn reads no file and no environment of its own."""
        for name, value in self._options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:  # type: ignore[override]
        """Make the application in the worker process, after the fork."""
        app = create_app(self._settings)
        for broken in (ParseException, NoMoreData):
            app.register_error_handler(broken, edge.unreadable)
        return app


class _Log(Logger):
    """Gunicorn's own remarks, in the form of all our logs."""

    def setup(self, cfg: Config) -> None:  # noqa: ARG002 - the signature is gunicorn's
        """Leave the writing to the handlers of ``logs``."""
        self.error_log.propagate = True
        self.error_log.setLevel(logging.INFO)
