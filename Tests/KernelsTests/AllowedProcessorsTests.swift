import Kernels
import Testing

/// What the kernel's files say about processors.
@Suite struct AllowedProcessorsTests {
  private static let secondVersion = "24 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
  private static let firstVersion = """
    30 1 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
    31 1 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset

    """

  private func groups(
    _ memberships: String, _ mounts: String, _ files: [String: String]
  ) -> ControlGroups {
    ControlGroups(memberships: memberships, mounts: mounts) { files[$0] }
  }

  @Test func theSmallestQuotaOfTheChainBounds() {
    let nested = groups(
      "0::/job/step/task\n", Self.secondVersion,
      [
        "/sys/fs/cgroup/job/step/task/cpu.max": "max 100000\n",
        "/sys/fs/cgroup/job/step/cpu.max": "150000 50000\n",
        "/sys/fs/cgroup/job/cpu.max": "250000 100000\n",
      ]
    ).quotas()
    #expect(
      nested == [
        ProcessorQuota(group: "/sys/fs/cgroup/job/step", processors: 3),
        ProcessorQuota(group: "/sys/fs/cgroup/job", processors: 2.5),
      ])
    func count(_ mask: Set<Int>, _ quotas: [ProcessorQuota]) -> Int {
      AllowedProcessors(host: "h", mask: mask, available: 8, quotas: quotas).count
    }
    #expect(count([0, 1, 2, 3], nested) == 2)
    #expect(count([5], nested) == 1)
    #expect(count([0, 1], [.init(group: "g", processors: 0.5)]) == 1)
    #expect(count([0, 1], []) == 2)
  }

  @Test func theFirstVersionIsReadToo() {
    let files = [
      "/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1\n",
      "/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n",
      "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "400000\n",
      "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
      "/sys/fs/cgroup/cpuset/c/cpuset.cpus": "0-5,9\n",
    ]
    let groups = groups(
      "9:name=systemd:/x\n4:cpuset:/c\n1:cpu,cpuacct:/a/b\n0::/\n", Self.firstVersion, files)
    #expect(groups.quotas() == [.init(group: "/sys/fs/cgroup/cpu,cpuacct/a", processors: 4)])
    #expect(groups.processors() == [0, 1, 2, 3, 4, 5, 9])
  }

  @Test func aContainerSeesItsGroupAsTheRoot() {
    let mounts = "30 1 0:28 /docker/x /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n"
    let files = [
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
      "/sys/fs/cgroup/cpu/in/cpu.cfs_quota_us": "100000",
      "/sys/fs/cgroup/cpu/in/cpu.cfs_period_us": "100000",
    ]
    #expect(groups("1:cpu:/docker/x/in\n", mounts, files).quotas().map(\.processors) == [1, 2])
    // What lies outside cannot be followed.
    #expect(groups("1:cpu:/elsewhere\n", mounts, files).quotas().map(\.processors) == [2])
    #expect(groups("0::/../..\n", Self.secondVersion, [:]).quotas() == [])
    #expect(groups("", "", files).quotas() == [] && groups("", "", files).processors() == nil)
  }

  @Test func listsOfProcessors() {
    #expect(AllowedProcessors.numbers("0-3,8\n") == [0, 1, 2, 3, 8])
    #expect(AllowedProcessors.numbers("7") == [7])
    for bad in ["", "a", "3-1", "0-", "-"] { #expect(AllowedProcessors.numbers(bad) == nil) }
  }

  @Test func thisMachineHasProcessors() {
    let current = AllowedProcessors.current()
    #expect(current.count >= 1 && current.count <= current.mask.count)
  }
}
