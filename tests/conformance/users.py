"""Scenarios of user management; they need a node with authentication (an insecure one never answers)."""

from __future__ import annotations

from .driver import scenario

U = "/event_store.client.users.Users/"


def user(t, method, **options):
    return t.ask(U + method, {"options": options} if options else {})


@scenario("users/life")
def _(t):
    name = "ann-" + t.stream().split("-")[-1]
    user(t, "Create", login_name=name, password="Secret1!", full_name="Ann", groups=["readers"])
    user(t, "Create", login_name=name, password="Secret1!", full_name="Ann", groups=["readers"])
    user(t, "Details", login_name=name)
    user(t, "Update", login_name=name, password="Secret1!", full_name="Ann B", groups=["readers", "writers"])
    user(t, "Details", login_name=name)
    user(t, "Disable", login_name=name)
    user(t, "Details", login_name=name)
    user(t, "Enable", login_name=name)
    user(t, "ChangePassword", login_name=name, current_password="Secret1!", new_password="Secret2!")
    user(t, "ChangePassword", login_name=name, current_password="wrong", new_password="Secret3!")
    user(t, "ResetPassword", login_name=name, new_password="Secret4!")
    user(t, "Delete", login_name=name)
    user(t, "Details", login_name=name)
    user(t, "Delete", login_name=name)
    user(t, "Disable", login_name=name)
    user(t, "Update", login_name=name, full_name="X")


@scenario("users/all")
def _(t):
    t.ask(U + "Details", {"options": {}})
    t.ask(U + "Details", {})
