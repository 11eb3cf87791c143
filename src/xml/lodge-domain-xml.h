/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-driver.h"

G_BEGIN_DECLS

/*
 * Domain XML: what Lodge writes when it defines an instance, and what it reads from any domain.
 *
 * All functions may be called on any thread.  Writers refuse (INVALID_ARGUMENT) text that XML
 * cannot carry: control characters and invalid UTF-8; all else is escaped by libxml2.  Readers
 * take XML of foreign domains too: no network, no entities, a document type is refused, at most
 * 4 MiB and 64 levels (INVALID_ARGUMENT, none of the text in the message).
 */

/** How a container is to be started; what the spec does not say.  Strings are borrowed. */
typedef struct
{
  const char *emulator;    /* path of libvirt_lxc */
  const char *root_dir;    /* where the root will be mounted: <run>/mnt/<uuid> */
  const char *control_dir; /* <run>/ctl/<uuid>, becomes /dev/lodge and has lodge-init as "init" */
  const char *guest_dir;   /* what else guests may use, becomes /dev/lodge/guest; NULL: none */
  guint64 host_memory;     /* bytes; <memory> of a container without limits.memory */
  guint vcpus;             /* at least 1 */
  const char *cpuset;      /* "0-1,3", or NULL: all */
  gboolean limit_swap;     /* the host's cgroups can: memory and swap together get the limit */
} LodgeLxcXmlOptions;

/** How a VM is to be run; what the spec does not say.  Strings are borrowed. */
typedef struct
{
  const char *domain_type; /* "kvm" or "qemu" (TCG) */
  const char *emulator;    /* NULL: libvirt's choice for the architecture */
  const char *machine;     /* NULL: "q35" on x86_64, else "virt" */
  const char *console_log; /* file that gets all of the serial console; NULL: none */
  const char *disk_format; /* NULL: "qcow2" */
  const char *nvram;       /* file for the UEFI variables; NULL: libvirt's choice */
  guint64 memory;          /* bytes; for a spec without limits.memory */
  guint vcpus;             /* for a spec without limits.cpu; at least 1 */
  guint stats_period;      /* seconds between the balloon's reports; 0: none */
  guint spare_ports;       /* PCIe root ports kept for hot-plugging (machines with PCIe) */
} LodgeKvmXmlOptions;

/** The user alias of Lodge's device @name: "ua-lodge-<name>". */
#define LODGE_DEVICE_ALIAS_PREFIX "ua-lodge-"
/** The name of the CD-ROM drive for install media. */
#define LODGE_DEVICE_MEDIUM "medium"
/** The names of the guest's virtio-serial ports. */
#define LODGE_CHANNEL_GUEST_AGENT "org.qemu.guest_agent.0"

/**
 * lodge_domain_xml_lxc:
 *
 * The definition of a container.  It always has an id map: a spec with an idmap_base of 0 or an
 * idmap_count of less than 65536 is INVALID_ARGUMENT.  INVALID_CONFIG for values that the config
 * table should have refused.
 *
 * Returns: (transfer full): the XML.
 */
char *lodge_domain_xml_lxc (const LodgeDomainSpec *spec, const LodgeLxcXmlOptions *options,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_domain_xml_lxc_renew:
 * @xml: the inactive definition of a container
 * @out_xml: (transfer full) (nullable): the same with what containers of Lodge get today and this
 *   one's older Lodge did not know of; NULL when there is nothing to add, or it is not Lodge's
 *
 * Adds only what says nothing yet: a capability that somebody has switched on stays on.
 */
gboolean lodge_domain_xml_lxc_renew (const char *xml, char **out_xml,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_domain_xml_kvm:
 *
 * The definition of a VM.  Reads limits.memory, limits.cpu ("2" or "0-1"), vm.cpu ("auto", "host",
 * "maximum" or the name of a model) and vm.firmware ("bios" or "uefi") of the spec.
 *
 * Returns: (transfer full): the XML.
 */
char *lodge_domain_xml_kvm (const LodgeDomainSpec *spec, const LodgeKvmXmlOptions *options,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_domain_xml_read:
 * @xml: of any domain, running or not, Lodge's or not
 *
 * Fills what XML can tell: uuid, name, kind (container when the type is "lxc"), id, managed,
 * memory_limit (0: none), vcpus, image, network, mac, host_device, fingerprint (of this very
 * XML).  State is running when the XML has an id, else stopped; persistent is TRUE and autostart
 * FALSE until the caller knows better.
 */
gboolean lodge_domain_xml_read (const char *xml, LodgeDomainInfo **out_info,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_domain_xml_fingerprint:
 * @inactive_xml: from virDomainGetXMLDesc() with VIR_DOMAIN_XML_INACTIVE
 *
 * Returns: (transfer full): SHA-256 in hex of the definition, independent of layout and order of
 * attributes, without metadata, id and what libvirt adds when it starts a domain.
 */
char *lodge_domain_xml_fingerprint (const char *inactive_xml,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** What Lodge's metadata element says. */
typedef struct
{
  char *uuid;         /* that the element was written for; another one: this is a clone */
  char *image;        /* fingerprint, nullable */
  char *image_alias;  /* nullable */
  GHashTable *config; /* char* → char*: what it carries of the configuration */
} LodgeDomainMetadata;

void lodge_domain_metadata_free (LodgeDomainMetadata *metadata);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeDomainMetadata, lodge_domain_metadata_free)

/**
 * lodge_domain_metadata_xml:
 *
 * The element alone, for virDomainSetMetadata().  Values that may be secrets (cloud-init.*,
 * environment.*) stay out: metadata can be read by everybody who may read libvirt.
 *
 * Returns: (transfer full): the XML.
 */
char *lodge_domain_metadata_xml (const LodgeDomainSpec *spec,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** The metadata of the domain @xml; *@out_metadata is NULL when it has none. */
gboolean lodge_domain_metadata_read (const char *xml, LodgeDomainMetadata **out_metadata,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_domain_xml_rename:
 *
 * Returns: (transfer full): the inactive @xml with another name and nothing else changed.
 */
char *lodge_domain_xml_rename (const char *xml, const char *new_name,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What the drivers need of a running domain.  NULL without an error: the XML has no such thing.
 * (transfer full) */

/** The pseudo terminal of the first console ("/dev/pts/7"). */
char *lodge_domain_xml_console_tty (const char *xml, GError **error);
/** The host's side (socket or pty) of the virtio channel @target ("org.qemu.guest_agent.0"). */
char *lodge_domain_xml_channel_path (const char *xml, const char *target, GError **error);
/** Source of the first disk that is not a CD or floppy. */
char *lodge_domain_xml_disk_path (const char *xml, GError **error);
/**
 * The drive that Lodge put an install medium into, as an element <disk> without its medium; NULL
 * also when the drive is empty.
 */
char *lodge_domain_xml_empty_drive (const char *xml, GError **error);
/** The domain's type: "kvm", "qemu", "lxc". */
char *lodge_domain_xml_type (const char *xml, GError **error);

G_END_DECLS
