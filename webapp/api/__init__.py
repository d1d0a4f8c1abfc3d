"""The JSON API: a file of operations for each trade, one document about all of them."""

from importlib.metadata import version

from flask import Flask

from webapp.api import public
from webapp.openapi import Api
from webapp.services import Services


def install(app: Flask, services: Services) -> None:
    """Serve the API and `/openapi.json`."""
    api = Api(app, title="Mohr", version=version("mohr"), server=services.public_url)
    public.install(api, services)
    api.serve_document("/openapi.json")
