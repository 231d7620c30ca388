package rescueinit

func (r *rescuer) devices() {}
