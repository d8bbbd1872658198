"""What our mails say, in the languages of accounts."""

from collections.abc import Mapping

DEFAULT_LOCALE = "en"
TEXTS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("password_reset", "en"): (
        "A new password for Parcela",
        """Hello {name},

somebody, hopefully you, wants a new password for your account "{username}" at
{site}

Open this address within {minutes} minutes to choose one; it works once:

{link}

If it was not you, do nothing: your password stays as it is.
""",
    ),
    ("password_reset", "es"): (
        "Una nueva contraseña para Parcela",
        """Hola, {name}:

Alguien, ojalá que tú, quiere una nueva contraseña para tu cuenta "{username}" en
{site}

Abre esta dirección dentro de {minutes} minutos para elegirla; sirve una sola vez:

{link}

Si no fuiste tú, no hagas nada: tu contraseña sigue siendo la misma.
""",
    ),
    ("project_invited", "en"): (
        'Invitation to "{project}"',
        """Hello,

you are invited to the project "{project}" of the lab at
{site}

Sign in there and open this address within {days} days:

{link}

It works for the account with the address {email}; if you have none yet, ask the lab
for one with this address. Nobody in the project is told about you before you accept.
If you do not know the project, do nothing.
""",
    ),
    ("project_invited", "es"): (
        'Invitación a "{project}"',
        """Hola:

Te invitan al proyecto "{project}" del laboratorio en
{site}

Inicia sesión allí y abre esta dirección dentro de {days} días:

{link}

Sirve para la cuenta con la dirección {email}; si aún no tienes una, pide al laboratorio
una con esta dirección. Nadie del proyecto sabrá de ti antes de que aceptes.
Si no conoces el proyecto, no hagas nada.
""",
    ),
    ("password_changed", "en"): (
        "Your password for Parcela was changed",
        """Hello {name},

the password of your account "{username}" at {site} was changed by a link from a mail.
All its sessions were ended and its personal tokens revoked.

If it was not you, tell the administrator of the lab at once.
""",
    ),
    ("password_changed", "es"): (
        "Tu contraseña de Parcela ha cambiado",
        """Hola, {name}:

La contraseña de tu cuenta "{username}" en {site} se cambió con un enlace recibido
por correo. Todas sus sesiones terminaron y sus tokens personales fueron revocados.

Si no fuiste tú, avisa enseguida a quien administra el laboratorio.
""",
    ),
    ("password_changed_kept", "en"): (
        "Your password for Parcela was changed",
        """Hello {name},

the password of your account "{username}" at {site} was changed by a link from a mail.
All its sessions were ended; its personal tokens were kept, as chosen in the form.

If it was not you, tell the administrator of the lab at once.
""",
    ),
    ("password_changed_kept", "es"): (
        "Tu contraseña de Parcela ha cambiado",
        """Hola, {name}:

La contraseña de tu cuenta "{username}" en {site} se cambió con un enlace recibido
por correo. Todas sus sesiones terminaron; sus tokens personales se conservaron, como se
eligió en el formulario.

Si no fuiste tú, avisa enseguida a quien administra el laboratorio.
""",
    ),
    ("registered", "en"): (
        "Your account for Parcela",
        """Hello {name},

somebody, hopefully you, registered this address at
{site}

Open this address within {hours} hours to choose the password of your account; the one
typed at the registration does not count. Your username will be "{username}", or a
similar one if another account has it by then; your e-mail address works as well:

{link}

If it was not you, do nothing: the account is removed unless its password is chosen.
""",
    ),
    ("registered", "es"): (
        "Tu cuenta de Parcela",
        """Hola, {name}:

Alguien, ojalá que tú, registró esta dirección en
{site}

Abre esta dirección dentro de {hours} horas para elegir la contraseña de tu cuenta; la que
se escribió al registrarse no cuenta. Tu nombre de usuario será "{username}", o uno
parecido si otra cuenta ya lo tiene; también sirve tu correo:

{link}

Si no fuiste tú, no hagas nada: la cuenta se elimina si nadie elige su contraseña.
""",
    ),
    ("registered_before", "en"): (
        "You have an account for Parcela already",
        """Hello {name},

somebody, hopefully you, registered this address again at
{site}

There is an account with it already, "{username}", and nothing has changed. If you forgot
its password, ask for a new one on the page where you sign in.

If it was not you, do nothing.
""",
    ),
    ("registered_before", "es"): (
        "Ya tienes una cuenta de Parcela",
        """Hola, {name}:

Alguien, ojalá que tú, volvió a registrar esta dirección en
{site}

Ya hay una cuenta con ella, "{username}", y nada ha cambiado. Si olvidaste su
contraseña, pide una nueva en la página donde inicias sesión.

Si no fuiste tú, no hagas nada.
""",
    ),
}


def mail_text(kind: str, locale: str, **values: object) -> tuple[str, str]:
    """(subject, body) of a mail; a language that we do not speak gets English."""
    subject, body = TEXTS.get((kind, locale)) or TEXTS[kind, DEFAULT_LOCALE]
    return subject, body.format_map(values)
