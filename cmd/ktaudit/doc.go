// Ktaudit audits Key Transparency logs; `ktaudit --help` lists its commands.
//
// This package is the grammar of the command line, the wiring and the printing: one small file for each
// command. Everything else is in the packages that it imports, which any program may use.
package main
