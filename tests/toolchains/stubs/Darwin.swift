// As much of Apple's C library as the kit calls beyond Linux's (mach/task_info.h).

public typealias natural_t = UInt32
public typealias integer_t = Int32
public typealias mach_msg_type_number_t = natural_t
public typealias task_flavor_t = natural_t

public struct mach_task_basic_info {
  public var resident_size: UInt64 = 0
  public var resident_size_max: UInt64 = 0

  public init() {}
}

public var MACH_TASK_BASIC_INFO: Int32 { fatalError() }
public var KERN_SUCCESS: Int32 { fatalError() }
public var mach_task_self_: UInt32 { fatalError() }

public func task_info(
  _ task: UInt32, _ flavor: task_flavor_t, _ info: UnsafeMutablePointer<integer_t>,
  _ count: UnsafeMutablePointer<mach_msg_type_number_t>
) -> Int32 { fatalError() }
