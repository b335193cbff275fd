"""The addresses of the service, one file for each family of them."""

from vestiary.web.routes import about, explanation, feedback, health, inference, pages, prediction, similarity

ROUTERS = (
    prediction.router,
    explanation.router,
    similarity.router,
    feedback.router,
    pages.router,
    about.router,
    health.router,
    inference.router,
)

__all__ = ["ROUTERS"]
