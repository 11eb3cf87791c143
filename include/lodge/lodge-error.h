/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * LodgeError:
 *
 * Every error that crosses a layer of Lodge is in this domain.  The table in
 * src/base/lodge-error.c maps each code to its D-Bus name (`org.lodge1.Error.*`)
 * and to the exit code that the CLI ends with; a static assertion keeps it complete.
 *
 * The message is one sentence for people that names the object; it never echoes
 * file contents.  A hint ("what to do now") may follow after a newline.
 */
typedef enum
{
  LODGE_ERROR_FAILED,               /* unclassified; avoid */
  LODGE_ERROR_INVALID_ARGUMENT,     /* the caller's fault: bad option, value, path */
  LODGE_ERROR_INVALID_NAME,         /* a name that the one validator refuses */
  LODGE_ERROR_INVALID_CONFIG,       /* unknown key, wrong unit; the message names the key */
  LODGE_ERROR_NOT_FOUND,            /* no such instance, image, job, file */
  LODGE_ERROR_ALREADY_EXISTS,       /* name taken, also by a foreign domain */
  LODGE_ERROR_INVALID_STATE,        /* start of a running one, exec in a stopped one */
  LODGE_ERROR_BUSY,                 /* another job holds the instance; the message names it */
  LODGE_ERROR_IN_USE,               /* an image that instances are built on */
  LODGE_ERROR_CONFLICT,             /* it changed underneath us; read again */
  LODGE_ERROR_NOT_SUPPORTED,        /* NULL driver slot, wrong kind */
  LODGE_ERROR_NOT_AUTHORIZED,       /* polkit said no, or nobody could be asked */
  LODGE_ERROR_CANCELLED,            /* by Job.Cancel, Ctrl-C or a dismissed dialog */
  LODGE_ERROR_TIMED_OUT,
  LODGE_ERROR_LIMIT_EXCEEDED,       /* too many jobs, processes, bytes */
  LODGE_ERROR_NO_SPACE,             /* ENOSPC, EDQUOT */
  LODGE_ERROR_BACKEND,              /* libvirt refused; its message is kept */
  LODGE_ERROR_BACKEND_UNAVAILABLE,  /* libvirtd does not answer */
  LODGE_ERROR_AGENT_UNAVAILABLE,    /* no guest agent in the VM */
  LODGE_ERROR_STORE,                /* sqlite failed or the database is damaged */
  LODGE_ERROR_STORE_TOO_NEW,        /* written by a newer Lodge */
  LODGE_ERROR_DOWNLOAD,             /* mirror or image server unreachable */
  LODGE_ERROR_VERIFICATION_FAILED,  /* checksum or signature */
  LODGE_ERROR_IMAGE_INVALID,        /* hostile or broken archive or disk */
  LODGE_ERROR_HELPER_FAILED,        /* a helper died without a structured error */
  LODGE_ERROR_DAEMON_UNREACHABLE,   /* client side only: no lodged on the bus */
  LODGE_ERROR_N_CODES
} LodgeErrorCode;

#define LODGE_ERROR (lodge_error_quark ())

/** Any thread. */
GQuark lodge_error_quark (void);

/**
 * lodge_error_register_bus:
 *
 * Tells GDBus the names of all codes, so that errors go out under them and come in as the same
 * code.  For programs that use GDBus.  Any thread, any number of times.
 */
void lodge_error_register_bus (void);

/** The D-Bus name of @code, for example `org.lodge1.Error.NotFound`.  Static.  Any thread. */
const char *lodge_error_dbus_name (LodgeErrorCode code);

/**
 * lodge_error_from_nick:
 * @nick: the last part of the D-Bus name, for example `NotFound`; helpers report errors so
 *
 * Returns: the code, or %LODGE_ERROR_HELPER_FAILED when @nick is unknown.
 */
LodgeErrorCode lodge_error_from_nick (const char *nick);

/** The last part of the D-Bus name of @code.  Static. */
const char *lodge_error_nick (LodgeErrorCode code);

/** The CLI's exit code for @error; 1 for another domain's: 1, 3, 4, 5, 6, 7 or 130 as README.md lists them. */
int lodge_error_exit_code (const GError *error);

/**
 * lodge_error_set_errno:
 * @saved_errno: the errno of the failed call
 *
 * Sets @error to "<format>: <strerror>" with the code that fits @saved_errno
 * (ENOSPC and EDQUOT become NO_SPACE, ENOENT NOT_FOUND, EEXIST ALREADY_EXISTS,
 * EACCES and EPERM NOT_AUTHORIZED, ETIMEDOUT TIMED_OUT, ECANCELED CANCELLED, else FAILED).
 */
void lodge_error_set_errno (GError **error, int saved_errno, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/**
 * lodge_error_normalize:
 * @error: (transfer full): an error of any domain
 *
 * Returns: (transfer full): @error when it is in %LODGE_ERROR already, else the same message
 * in %LODGE_ERROR: G_IO_ERROR_* and G_DBUS_ERROR_* codes are mapped, the rest is FAILED.
 */
GError *lodge_error_normalize (GError *error);

G_END_DECLS
