"""Serving the site: gunicorn with threads, because requests wait for Stripe."""

from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from donorportal.app import create_app, start_worker
from donorportal.config import Settings


def run(settings: Settings, *, bind: str, workers: int, threads: int) -> None:
    """Serve until told to stop; requests in flight are finished."""
    _Server(settings, bind=bind, workers=workers, threads=threads).run()


class _Server(BaseApplication):
    def __init__(self, settings: Settings, **options: Any) -> None:
        self._settings = settings
        self._options = options | {
            "worker_class": "gthread",
            "control_socket_disable": True,
            "graceful_timeout": 30,
            "max_requests": 50_000,
            "max_requests_jitter": 5_000,
            "post_worker_init": lambda worker: start_worker(worker.app.callable),
        }
        super().__init__()

    def load_config(self) -> None:
        """Take over our options; gunicorn reads no file and no environment of its own."""
        for name, value in self._options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:  # type: ignore[override]
        """Make the application in the worker process, after the fork."""
        return create_app(self._settings)
