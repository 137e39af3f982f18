/* The end of the machine. */
#pragma once

/* Kills what is left, unmounts, and turns the machine off. Without ACPI (acpi=off on the kernel's
 * command line) it resets instead, which QEMU is told to take as the end (-no-reboot). */
_Noreturn void power_off(void);
