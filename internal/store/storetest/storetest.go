// Package storetest is the contract that each kind of store passes.
package storetest

import (
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/store"
)

// Run runs the contract's tests, each on a store that open makes anew.
func Run(t *testing.T, open func(t *testing.T) store.Store) { t.Fatal("not built yet") }
