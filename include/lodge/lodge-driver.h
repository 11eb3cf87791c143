/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-error.h"
#include "lodge-types.h"

G_BEGIN_DECLS

/**
 * SECTION: the contract between core and the drivers (lxc, kvm, and the fake one of the tests).
 *
 * A driver is a #GObject that implements #LodgeDriver: a table of functions plus capability
 * flags.  A %NULL slot means "not supported"; the lodge_driver_*() wrappers turn it into
 * %LODGE_ERROR_NOT_SUPPORTED with the name of the instance.
 *
 * Threads: functions marked (blocking) are called on core's driver executor, up to four at once,
 * never on the main thread; they get immutable input and may talk to libvirt.  Functions marked
 * (main) are called on the main thread and must not block.  Core sees to it that at most one
 * blocking call that changes an instance runs for it at a time.
 */

typedef enum
{
  LODGE_CAP_PAUSE = 1 << 0,
  LODGE_CAP_EXEC = 1 << 1,
  LODGE_CAP_TTY = 1 << 2,
  LODGE_CAP_CONSOLE = 1 << 3,
  LODGE_CAP_FILES = 1 << 4,          /* while it runs */
  LODGE_CAP_FILES_OFFLINE = 1 << 5,  /* while it is stopped */
  LODGE_CAP_USAGE = 1 << 6,
  LODGE_CAP_BOOT_REPORT = 1 << 7,    /* the guest tells when it has booted */
  LODGE_CAP_RENAME = 1 << 8,
} LodgeCaps;

/**
 * LodgeDomainSpec:
 *
 * All that a driver needs to define a domain.  Built by core from the effective configuration
 * and the results of storage and network; immutable after that, any thread may read it.
 */
typedef struct
{
  char *uuid;
  char *name;
  LodgeKind kind;
  GHashTable *config; /* char* → char*: effective, validated */
  char *image_fingerprint;
  char *image_alias;  /* nullable */
  char *architecture; /* "x86_64", as libvirt spells it */
  char *os_id;        /* nullable: a libosinfo id */

  /* containers */
  char *lower_dir;    /* the image's unpacked tree */
  char *upper_dir;
  char *work_dir;
  guint32 idmap_base;
  guint32 idmap_count;

  /* VMs */
  char *disk_path;    /* qcow2 */
  char *seed_path;    /* nullable: a read-only disk for cloud-init, ISO 9660 */
  char *medium_path;  /* nullable: an ISO for the CD-ROM drive, which boots while the disk cannot */

  /* one NIC */
  char *network;      /* libvirt network; NULL: no NIC */
  char *bridge;       /* of that network */
  char *mac;
  char *address;      /* IPv4 that is reserved for the MAC; NULL: by DHCP */
  guint prefix;
  char *gateway;      /* also the name server */
  char *dns_domain;

  /* places */
  char *instance_dir; /* <state>/instances/<uuid>: plan, logs */
  char *run_dir;      /* <run> */
} LodgeDomainSpec;

LodgeDomainSpec *lodge_domain_spec_new (void);
void lodge_domain_spec_free (LodgeDomainSpec *spec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeDomainSpec, lodge_domain_spec_free)

/** The value of @key in the spec's effective configuration, or @fallback.  Borrowed. */
const char *lodge_domain_spec_get (const LodgeDomainSpec *spec, const char *key,
                                   const char *fallback);

/** What libvirt says of one domain; a value, owned by who got it. */
typedef struct
{
  char *uuid;
  char *name;
  LodgeKind kind;
  LodgeState state;
  gint64 id;               /* of a running domain; changes with each boot; -1: not running */
  gboolean persistent;
  gboolean autostart;
  gboolean managed;        /* has Lodge's metadata with this very UUID */
  guint64 memory_limit;    /* bytes */
  guint vcpus;
  char *image;             /* from the metadata, nullable */
  char *network;           /* first NIC, nullable */
  char *mac;               /* first NIC, nullable */
  char *host_device;       /* first NIC of a running domain ("vnet3"), nullable */
  char *fingerprint;       /* hash of the inactive XML, to notice edits */
} LodgeDomainInfo;

LodgeDomainInfo *lodge_domain_info_copy (const LodgeDomainInfo *info);
void lodge_domain_info_free (LodgeDomainInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeDomainInfo, lodge_domain_info_free)

/** Live usage; a negative number: not known. */
typedef struct
{
  gint64 cpu_ns;
  gint64 memory;
  gint64 memory_peak;
  gint64 memory_limit;
  gint64 swap;
  gint64 processes;
  gint64 processes_limit;
  gint64 disk;
  gint64 uptime;           /* seconds */
  char *host_device;       /* nullable: the NIC on the host side that the next four are of */
  gint64 rx_bytes, tx_bytes, rx_packets, tx_packets; /* as the guest sees them */
} LodgeUsage;

LodgeUsage *lodge_usage_new (void); /* all not known */
LodgeUsage *lodge_usage_copy (const LodgeUsage *usage);
void lodge_usage_free (LodgeUsage *usage);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeUsage, lodge_usage_free)

typedef struct
{
  char *device;  /* in the guest; "" when not known */
  char *address;
  guint prefix;
  gboolean ipv6;
  char *source;  /* "reserved": for its MAC */
} LodgeAddress;

LodgeAddress *lodge_address_new (const char *device, const char *address, guint prefix,
                                 const char *source);
void lodge_address_free (LodgeAddress *address);

/** What happened to a domain; see lodge_driver_set_event_func(). */
typedef enum
{
  LODGE_DOMAIN_EVENT_CHANGED,      /* read it again: anything may be different */
  LODGE_DOMAIN_EVENT_UNDEFINED,    /* maybe gone, maybe being renamed */
  LODGE_DOMAIN_EVENT_BOOTED,       /* the guest's init reported that it finished booting */
  LODGE_DOMAIN_EVENT_CONNECTED,    /* to libvirt; uuid is NULL: list everything */
  LODGE_DOMAIN_EVENT_DISCONNECTED, /* from libvirt; uuid is NULL */
} LodgeDomainEvent;

typedef struct _LodgeDriver LodgeDriver;

/** Called on the main thread. */
typedef void (*LodgeDomainEventFunc) (LodgeDriver *driver, LodgeDomainEvent event,
                                      const char *uuid, gpointer user_data);

/**
 * LodgeProcess:
 *
 * A program that runs in a guest.  Main thread only.  Emits `exited` (int exit_status,
 * int term_signal) once.  Exit status 125 is a failure of Lodge, 126 not executable, 127 not
 * found.  Disposing it sends SIGHUP.
 */
#define LODGE_TYPE_PROCESS (lodge_process_get_type ())
G_DECLARE_DERIVABLE_TYPE (LodgeProcess, lodge_process, LODGE, PROCESS, GObject)

struct _LodgeProcessClass
{
  GObjectClass parent_class;
  gboolean (*resize) (LodgeProcess *self, guint rows, guint columns, GError **error);
  gboolean (*signal) (LodgeProcess *self, int signum, GError **error);
  gpointer reserved[6];
};

gboolean lodge_process_resize (LodgeProcess *self, guint rows, guint columns, GError **error);
gboolean lodge_process_signal (LodgeProcess *self, int signum, GError **error);
/** For drivers: records the end and emits `exited`; a second call is ignored. */
void lodge_process_set_exited (LodgeProcess *self, int exit_status, int term_signal);
/**
 * For drivers: keeps @fd (transfer full) open until everybody has been told of the end.  Held is
 * the server's end of a socket whose other end must not see it closed before that.
 */
void lodge_process_hold_fd (LodgeProcess *self, int fd);
/** Returns: whether it has ended. */
gboolean lodge_process_get_exited (LodgeProcess *self, int *out_exit_status,
                                   int *out_term_signal);

/** A request to run a program; the fds stay the caller's and are dup'ed by the driver. */
typedef struct
{
  const char *user;              /* name or number; NULL or "": root */
  const char *const *argv;       /* NULL or empty: a login shell */
  const char *const *environment; /* "K=V" */
  const char *cwd;               /* NULL: the user's home */
  gboolean tty;
  guint rows, columns;
  int stdin_fd, stdout_fd, stderr_fd; /* -1 with tty */
} LodgeExecRequest;

/** What exec gave: with a tty the master side, else nothing but the process. */
typedef struct
{
  LodgeProcess *process;
  int pty_fd; /* -1 without a tty; close-on-exec */
} LodgeExecResult;

void lodge_exec_result_free (LodgeExecResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeExecResult, lodge_exec_result_free)

#define LODGE_TYPE_DRIVER (lodge_driver_get_type ())
G_DECLARE_INTERFACE (LodgeDriver, lodge_driver, LODGE, DRIVER, GObject)

struct _LodgeDriverInterface
{
  GTypeInterface parent;

  const char *name; /* "lxc", "kvm", "fake" */
  LodgeKind kind;
  LodgeCaps caps;

  /* (main) begins to connect and goes on trying, with back-off, until the driver is disposed */
  void (*start) (LodgeDriver *self);
  /* (main) a{sv} for Manager.Drivers: uri, connected, version, error, accel */
  GVariant *(*describe) (LodgeDriver *self);

  /* (blocking) all domains, persistent or not */
  GPtrArray *(*list) (LodgeDriver *self, GCancellable *cancellable, GError **error);
  /* (blocking) one; NOT_FOUND when libvirt has it not */
  LodgeDomainInfo *(*lookup) (LodgeDriver *self, const char *uuid, GError **error);
  /* (blocking) by name; NULL without an error when there is none */
  LodgeDomainInfo *(*lookup_name) (LodgeDriver *self, const char *name, GError **error);

  /* (blocking) also writes what a start needs with lodged down; defining the same UUID again is
   * a success.  @out_notices gets sentences for the user (transfer full), for example that TCG
   * is used. */
  gboolean (*define) (LodgeDriver *self, const LodgeDomainSpec *spec, GPtrArray *out_notices,
                      GCancellable *cancellable, GError **error);
  /* (blocking) removes the domain and all that define made; absent is a success */
  gboolean (*undefine) (LodgeDriver *self, const char *uuid, GError **error);
  /* (blocking) returns when programs can be started in a container, or a VM's CPU runs */
  gboolean (*power_on) (LodgeDriver *self, const char *uuid, GCancellable *cancellable,
                        GError **error);
  /* (blocking) asks the guest to power off; returns at once */
  gboolean (*shutdown) (LodgeDriver *self, const char *uuid, GError **error);
  /* (blocking) ends it now and waits until libvirt says so; already off is a success */
  gboolean (*kill) (LodgeDriver *self, const char *uuid, GError **error);
  gboolean (*pause) (LodgeDriver *self, const char *uuid, GError **error);  /* (blocking) */
  gboolean (*resume) (LodgeDriver *self, const char *uuid, GError **error); /* (blocking) */
  gboolean (*rename) (LodgeDriver *self, const char *uuid, const char *new_name,
                      GError **error);                                      /* (blocking) */
  /* (blocking) takes the medium out of the CD-ROM drive; empty already is a success.  @force: also
   * when the guest has locked the drive */
  gboolean (*eject) (LodgeDriver *self, const char *uuid, gboolean force, GError **error);
  char *(*get_xml) (LodgeDriver *self, const char *uuid, GError **error);   /* (blocking) */
  LodgeUsage *(*get_usage) (LodgeDriver *self, const char *uuid, GError **error); /* (blocking) */

  /* (main) */
  void (*exec) (LodgeDriver *self, const char *uuid, const LodgeExecRequest *request,
                GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
  LodgeExecResult *(*exec_finish) (LodgeDriver *self, GAsyncResult *result, GError **error);
  /* (main) one end of a socket pair, close-on-exec */
  int (*open_console) (LodgeDriver *self, const char *uuid, GError **error);
  /* (main) a file to read, positioned at its beginning */
  int (*open_console_log) (LodgeDriver *self, const char *uuid, GError **error);
  /* (main) one end of a SOCK_SEQPACKET pair that speaks lodge-files.h.  @running tells which way
   * to serve it.  @out_server is something to unref when the session must end; it emits
   * `exited` when the client has closed. */
  void (*open_files) (LodgeDriver *self, const char *uuid, gboolean running,
                      GCancellable *cancellable, GAsyncReadyCallback callback,
                      gpointer user_data);
  int (*open_files_finish) (LodgeDriver *self, GAsyncResult *result, LodgeProcess **out_server,
                            GError **error);

  /* (main) */
  void (*set_event_func) (LodgeDriver *self, LodgeDomainEventFunc func, gpointer user_data);

  gpointer reserved[7];
};

/* Wrappers: each checks its slot.  Same threads as the slots. */
const char *lodge_driver_get_name (LodgeDriver *self);
LodgeKind lodge_driver_get_kind (LodgeDriver *self);
LodgeCaps lodge_driver_get_caps (LodgeDriver *self);
void lodge_driver_start (LodgeDriver *self);
GVariant *lodge_driver_describe (LodgeDriver *self);
GPtrArray *lodge_driver_list (LodgeDriver *self, GCancellable *cancellable, GError **error);
LodgeDomainInfo *lodge_driver_lookup (LodgeDriver *self, const char *uuid, GError **error);
LodgeDomainInfo *lodge_driver_lookup_name (LodgeDriver *self, const char *name, GError **error);
gboolean lodge_driver_define (LodgeDriver *self, const LodgeDomainSpec *spec,
                              GPtrArray *out_notices, GCancellable *cancellable, GError **error);
gboolean lodge_driver_undefine (LodgeDriver *self, const char *uuid, GError **error);
gboolean lodge_driver_power_on (LodgeDriver *self, const char *uuid, GCancellable *cancellable,
                                GError **error);
gboolean lodge_driver_shutdown (LodgeDriver *self, const char *uuid, GError **error);
gboolean lodge_driver_kill (LodgeDriver *self, const char *uuid, GError **error);
gboolean lodge_driver_pause (LodgeDriver *self, const char *uuid, GError **error);
gboolean lodge_driver_resume (LodgeDriver *self, const char *uuid, GError **error);
gboolean lodge_driver_rename (LodgeDriver *self, const char *uuid, const char *new_name,
                              GError **error);
gboolean lodge_driver_eject (LodgeDriver *self, const char *uuid, gboolean force, GError **error);
char *lodge_driver_get_xml (LodgeDriver *self, const char *uuid, GError **error);
LodgeUsage *lodge_driver_get_usage (LodgeDriver *self, const char *uuid, GError **error);
void lodge_driver_exec (LodgeDriver *self, const char *uuid, const LodgeExecRequest *request,
                        GCancellable *cancellable, GAsyncReadyCallback callback,
                        gpointer user_data);
LodgeExecResult *lodge_driver_exec_finish (LodgeDriver *self, GAsyncResult *result,
                                           GError **error);
int lodge_driver_open_console (LodgeDriver *self, const char *uuid, GError **error);
int lodge_driver_open_console_log (LodgeDriver *self, const char *uuid, GError **error);
void lodge_driver_open_files (LodgeDriver *self, const char *uuid, gboolean running,
                              GCancellable *cancellable, GAsyncReadyCallback callback,
                              gpointer user_data);
int lodge_driver_open_files_finish (LodgeDriver *self, GAsyncResult *result,
                                    LodgeProcess **out_server, GError **error);
void lodge_driver_set_event_func (LodgeDriver *self, LodgeDomainEventFunc func,
                                  gpointer user_data);

G_END_DECLS
