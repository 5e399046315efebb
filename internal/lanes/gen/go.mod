module github.com/ktaudit/ktaudit/internal/lanes/gen

go 1.26.0

require (
	github.com/mmcloughlin/avo v0.5.0
	lukechampine.com/blake3 v1.4.1
)

require (
	github.com/klauspost/cpuid/v2 v2.0.9 // indirect
	golang.org/x/mod v0.6.0 // indirect
	golang.org/x/sys v0.1.0 // indirect
	golang.org/x/tools v0.2.0 // indirect
)
