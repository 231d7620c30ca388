package backup

// AfterRead has f called whenever a small file was read, before the walk looks
// whether it changed meanwhile.
func (o *WalkOptions) AfterRead(f func(name string)) { o.afterRead = f }
