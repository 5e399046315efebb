// Benchreport times ktaudit beside the akd oracle and writes docs/performance.md; scripts/bench runs it.
package main
