/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-facts.h"

#include <elf.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lodge-io.h"
#include "lodge-metadata.h"
#include "lodge-status.h"
#include "lodge-templates.h"

#define FIELD(name) offsetof (LodgeFacts, name), sizeof (((LodgeFacts *) NULL)->name)

typedef struct
{
  const char *key;
  size_t offset;
  size_t size;
} Field;

static const Field METADATA_PROPERTIES[] = {
  { "description", FIELD (description) },
  { "os", FIELD (os) },
  { "release", FIELD (release) },
  { "variant", FIELD (variant) },
  { "serial", FIELD (serial) },
  { "type", FIELD (type) },
  { "architecture", FIELD (architecture) },
  { "requirements.secureboot", FIELD (secureboot) },
};
static const Field RESULTS[] = {
  { "architecture", FIELD (architecture) },
  { "description", FIELD (description) },
  { "property.os", FIELD (os) },
  { "property.release", FIELD (release) },
  { "property.variant", FIELD (variant) },
  { "property.serial", FIELD (serial) },
  { "property.type", FIELD (type) },
  { "property.version", FIELD (version) },
  { "property.hostname", FIELD (hostname) },
  { "property.init", FIELD (init) },
  { "property.cloud-init", FIELD (cloud_init) },
  { "property.agent", FIELD (agent) },
  { "property.firmware", FIELD (firmware) },
  { "property.requirements.secureboot", FIELD (secureboot) },
  { "property.cpus", FIELD (cpus) },
  { "property.memory", FIELD (memory) },
  { "property.templates", FIELD (templates) },
  { "property.command", FIELD (command) },
};
static const Field OS_RELEASE[] = {
  { "PRETTY_NAME", FIELD (description) },
  { "ID", FIELD (os) },
  { "VERSION_ID", FIELD (release) },
};

static const struct
{
  uint16_t machine;
  unsigned char elf_class;
  const char *name;
} MACHINES[] = {
  { EM_X86_64, ELFCLASS64, "x86_64" },   { EM_386, ELFCLASS32, "i686" },
  { EM_AARCH64, ELFCLASS64, "aarch64" }, { EM_ARM, ELFCLASS32, "armv7l" },
  { EM_RISCV, ELFCLASS64, "riscv64" },   { EM_PPC64, ELFCLASS64, "ppc64le" },
  { EM_S390, ELFCLASS64, "s390x" },
};

/* Other names of architectures in metadata. */
static const struct
{
  const char *alias;
  const char *name;
} ARCHITECTURES[] = {
  { "amd64", "x86_64" }, { "i386", "i686" },  { "x86", "i686" },        { "arm64", "aarch64" },
  { "armhf", "armv7l" }, { "arm", "armv7l" }, { "ppc64el", "ppc64le" }, { "386", "i686" },
};

#define N(array) (sizeof (array) / sizeof *(array))

void
lodge_facts_set (char *target, size_t size, const char *value, size_t length)
{
  const char *end;

  if (*target != '\0')
    return;
  while (length > 0 && (*value == ' ' || *value == '\t'))
    value++, length--;
  while (length > 0 && strchr (" \r\n", value[length - 1]) != NULL)
    length--;
  length = MIN (length, size - 1);
  if (!g_utf8_validate (value, (gssize) length, &end))
    length = (size_t) (end - value);
  for (size_t i = 0; i < length; i++)
    target[i] = (unsigned char) value[i] < 0x20 || value[i] == 0x7f ? '?' : value[i];
  target[length] = '\0';
}

static void
store (LodgeFacts *facts, const Field *field, const char *value, size_t length)
{
  lodge_facts_set ((char *) facts + field->offset, field->size, value, length);
}

static void
match (LodgeFacts *facts, const Field *fields, size_t n, const char *line, size_t length,
       char separator)
{
  const char *end = memchr (line, separator, length);
  if (end == NULL)
    return;
  size_t key_length = (size_t) (end - line);
  size_t value_length = length - key_length - 1;
  const char *value = end + 1;
  if (value_length >= 2 && (*value == '"' || *value == '\'') && value[value_length - 1] == *value)
    value++, value_length -= 2;
  for (size_t i = 0; i < n; i++)
    if (strlen (fields[i].key) == key_length && memcmp (fields[i].key, line, key_length) == 0)
      store (facts, &fields[i], value, value_length);
}

static size_t
line_length (const char *text, size_t size)
{
  const char *end = memchr (text, '\n', size);
  return end != NULL ? (size_t) (end - text) : size;
}

static void
take_architecture (LodgeFacts *facts, const char *value)
{
  for (size_t i = 0; i < N (ARCHITECTURES); i++)
    if (strcmp (ARCHITECTURES[i].alias, value) == 0)
      value = ARCHITECTURES[i].name;
  lodge_facts_set (facts->architecture, sizeof facts->architecture, value, strlen (value));
}

/* Only the words that mean something; each of them once. */
static void
take_trigger (LodgeFacts *facts, const char *value)
{
  g_auto (GStrv) known = g_strsplit (facts->templates, ",", -1);

  if (lodge_template_trigger_find (value) == 0
      || g_strv_contains ((const char *const *) known, value))
    return;
  if (*facts->templates != '\0')
    g_strlcat (facts->templates, ",", sizeof facts->templates);
  g_strlcat (facts->templates, value, sizeof facts->templates);
}

static void
take_metadata_value (const char *const *path, size_t depth, const char *value, void *user_data)
{
  LodgeFacts *facts = user_data;

  if (depth == 1 && strcmp (path[0], "architecture") == 0)
    take_architecture (facts, value);
  if (depth >= 3 && strcmp (path[0], "templates") == 0 && strcmp (path[2], "when") == 0)
    take_trigger (facts, value);
  if (depth != 2 || strcmp (path[0], "properties") != 0)
    return;
  for (size_t i = 0; i < N (METADATA_PROPERTIES); i++)
    if (strcmp (METADATA_PROPERTIES[i].key, path[1]) == 0
        && METADATA_PROPERTIES[i].offset == offsetof (LodgeFacts, architecture))
      take_architecture (facts, value);
    else if (strcmp (METADATA_PROPERTIES[i].key, path[1]) == 0)
      store (facts, &METADATA_PROPERTIES[i], value, strlen (value));
}

bool
lodge_facts_take_metadata (LodgeFacts *facts, const char *text, size_t size, LodgeFail *fail)
{
  return lodge_metadata_parse (text, size, take_metadata_value, facts, fail);
}

void
lodge_facts_take_os_release (LodgeFacts *facts, const char *text, size_t size)
{
  for (size_t at = 0; at < size;)
    {
      size_t length = line_length (text + at, size - at);
      match (facts, OS_RELEASE, N (OS_RELEASE), text + at, length, '=');
      at += length + 1;
    }
}

void
lodge_facts_take_program (LodgeFacts *facts, const void *data, size_t size)
{
  Elf32_Ehdr header; /* the first fields are the same in both classes */

  if (*facts->architecture != '\0' || size < sizeof header)
    return;
  memcpy (&header, data, sizeof header);
  if (memcmp (header.e_ident, ELFMAG, SELFMAG) != 0)
    return;
  for (size_t i = 0; i < N (MACHINES); i++)
    if (header.e_machine == MACHINES[i].machine
        && header.e_ident[EI_CLASS] == MACHINES[i].elf_class)
      snprintf (facts->architecture, sizeof facts->architecture, "%s", MACHINES[i].name);
}

/** Reads a small file below the working directory; its size, or 0. */
static size_t
read_inside (const char *path, char *buffer, size_t size)
{
  struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                          .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
  LODGE_AUTOFD fd = (int) syscall (SYS_openat2, AT_FDCWD, path, &how, sizeof how);
  struct stat st;

  if (fd < 0 || fstat (fd, &st) < 0 || !S_ISREG (st.st_mode))
    return 0;
  ssize_t n = pread (fd, buffer, size, 0);
  return n > 0 ? (size_t) n : 0;
}

static bool
is_inside (const char *path)
{
  struct open_how how
      = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
  LODGE_AUTOFD fd = (int) syscall (SYS_openat2, AT_FDCWD, path, &how, sizeof how);
  return fd >= 0;
}

typedef struct
{
  const char *path;
  const char *value;
} Trace;

/* The first that is there tells. */
static const Trace INITS[] = {
  { "usr/lib/systemd/systemd", "systemd" },
  { "lib/systemd/systemd", "systemd" },
  { "sbin/openrc-init", "openrc" },
  { "sbin/openrc", "openrc" },
  { "sbin/runit", "runit" },
  { "sbin/upstart", "upstart" },
  { "etc/inittab", "sysvinit" },
  { "sbin/init", "other" },
  { "usr/sbin/init", "other" },
  { "init", "other" },
};
static const char *const CLOUD_INITS[] = { "usr/bin/cloud-init", "usr/local/bin/cloud-init" };
static const char *const AGENTS[]
    = { "usr/sbin/qemu-ga", "usr/bin/qemu-ga", "usr/libexec/qemu-ga" };

void
lodge_facts_take_tree (LodgeFacts *facts)
{
  static const char *const RELEASES[] = { "etc/os-release", "usr/lib/os-release" };
  static const char *const VERSIONS[] = { "etc/debian_version", "etc/alpine-release" };
  static const char *const PROGRAMS[] = { "bin/sh", "usr/bin/env", "sbin/init", "bin/busybox" };
  char text[4096];
  size_t n;

  for (size_t i = 0; i < N (RELEASES); i++)
    if ((n = read_inside (RELEASES[i], text, sizeof text)) > 0)
      lodge_facts_take_os_release (facts, text, n);
  for (size_t i = 0; i < N (VERSIONS); i++)
    if ((n = read_inside (VERSIONS[i], text, sizeof text)) > 0)
      lodge_facts_set (facts->version, sizeof facts->version, text, line_length (text, n));
  if (*facts->version == '\0')
    g_strlcpy (facts->version, facts->release, sizeof facts->version);
  if ((n = read_inside ("etc/hostname", text, sizeof text)) > 0)
    lodge_facts_set (facts->hostname, sizeof facts->hostname, text, line_length (text, n));
  for (size_t i = 0; i < N (PROGRAMS); i++)
    if ((n = read_inside (PROGRAMS[i], text, sizeof text)) > 0)
      lodge_facts_take_program (facts, text, n);
  for (size_t i = 0; i < N (INITS) && !facts->has_init; i++)
    if ((facts->has_init = is_inside (INITS[i].path)))
      g_strlcpy (facts->init, INITS[i].value, sizeof facts->init);
  for (size_t i = 0; i < N (CLOUD_INITS); i++)
    if (is_inside (CLOUD_INITS[i]))
      g_strlcpy (facts->cloud_init, "yes", sizeof facts->cloud_init);
  for (size_t i = 0; i < N (AGENTS); i++)
    if (is_inside (AGENTS[i]))
      g_strlcpy (facts->agent, "yes", sizeof facts->agent);
}

void
lodge_facts_report (LodgeFacts *facts)
{
  for (size_t i = 0; i < N (RESULTS); i++)
    {
      char *value = (char *) facts + RESULTS[i].offset;
      /* A process that another had in its hands has filled this. */
      value[RESULTS[i].size - 1] = '\0';
      if (*value != '\0')
        lodge_status_result (RESULTS[i].key, "%s", value);
    }
}
