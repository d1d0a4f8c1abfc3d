"""Status endpoints as bytes: OCSP, CRLs, issuers, time-stamps, keys, checkpoint.

A bare WSGI callable in front of Flask, so that these answer fast and while the CA, the HSM and the database
are down. RFC 6960 appendix A and RFC 5019 §5-6 (OCSP over HTTP), RFC 5280 §4.2.1.13 (CRL), RFC 2585 §4 (media
types), RFC 3161 §3.4 (time-stamps). Nothing raises out of here: what goes wrong is a problem document.
"""

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from pki.errors import ErrorCode, InvalidInput, NotFound, ServiceError, Unavailable
from webapp.exchanges import Answer, Exchange
from webapp.incidents import log_incident
from webapp.problems import CONTENT_TYPE, Problem, problem_of
from webapp.security import new_request_id
from webapp.services import Services
from webapp.status_answers import StatusAnswers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY_OCTETS: Final = 64 * 1024
_PHRASES: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
