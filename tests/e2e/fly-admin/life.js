// A machine's life by npm's fly-admin, a client of the Machines API that knows nothing of Ward.
//   WARD_API_URL=http://... WARD_API_TOKEN=... WARD_TEST_IMAGE=... node life.js
// Each step is one line on stdout; a wrong answer ends it with status 1 and says which.
'use strict'
const assert = require('node:assert')
// createClient() of its main file takes no address; the class behind it does.
const Client = require('fly-admin/dist/client').default

const { WARD_API_URL: apiUrl, WARD_API_TOKEN: token, WARD_TEST_IMAGE: image, WARD_TEST_APP: app = 'fly-admin' } = process.env
const timeout = process.env.WARD_TEST_WAIT || '60s'
const fly = new Client(token, { apiUrl, graphqlUrl: apiUrl })

async function step(name, action) {
  const value = await action().catch(e => { throw new Error(`${name}: ${e.message}`) })
  console.log(name)
  return value
}

const rejects = (name, status, action) => step(name, async () => {
  await assert.rejects(action, e => {
    assert.match(e.message, new RegExp(`^${status}: \\{`))
    const body = JSON.parse(e.message.slice(5))
    assert.ok(body.error && body.status && body.details)
    return true
  })
})

async function main() {
  await rejects('a wrong token is refused', 401, () => new Client('ward_wrong', { apiUrl }).App.listApps('personal'))
  await step('creates an app', () => fly.App.createApp({ app_name: app, org_slug: 'personal' }))
  await rejects('a taken name is refused', 422, () => fly.App.createApp({ app_name: app, org_slug: 'personal' }))
  const shown = await step('shows the app', () => fly.App.getApp(app))
  assert.strictEqual(shown.name, app)
  assert.strictEqual(shown.organization.slug, 'personal')
  const { apps, total_apps } = await step('lists apps', () => fly.App.listApps('personal'))
  assert.ok(apps.some(a => a.name === app) && total_apps === apps.length)

  const made = await step('creates a machine', () => fly.Machine.createMachine({
    app_name: app,
    name: 'one',
    config: {
      image,
      env: { FROM: 'fly-admin' },
      guest: { cpu_kind: 'shared', cpus: 1, memory_mb: 256 },
      services: [{
        protocol: 'tcp', internal_port: 8080, ports: [{ port: 443, handlers: ['tls', 'http'] }],
        concurrency: { type: 'requests', soft_limit: 20, hard_limit: 25 }
      }],
      restart: { policy: 'no' }
    }
  }))
  const it = { app_name: app, machine_id: made.id }
  assert.match(made.id, /^[0-9a-f]{14}$/)
  const waitFor = (state, more = {}) => fly.Machine.waitMachine({ ...it, state, timeout, ...more })
  const started = await step('waits until it is started', () => waitFor('started', { instance_id: made.instance_id }))
  assert.strictEqual(started.ok, true)
  const machine = await step('shows the machine', () => fly.Machine.getMachine(it))
  assert.strictEqual(machine.state, 'started')
  assert.deepStrictEqual(machine.config.env, { FROM: 'fly-admin' })
  assert.match(machine.private_ip, /^fdaa:/)
  assert.deepStrictEqual((await step('lists machines', () => fly.Machine.listMachines(app))).map(m => m.id), [made.id])
  const events = await step('lists events', () => fly.Machine.listEvents(it))
  assert.ok(events.length > 0 && events.every(e => e.id && e.type && e.status && e.timestamp > 1.6e12))
  const versions = await step('lists versions', () => fly.Machine.listVersions(it))
  assert.strictEqual(versions[0].version, made.instance_id)
  assert.ok(Array.isArray(await step('lists processes', () => fly.Machine.listProcesses(it))))

  const lease = await step('acquires a lease', () => fly.Machine.acquireLease({ ...it, ttl: 2, description: 'a test' }))
  assert.strictEqual(lease.status, 'success')
  assert.strictEqual((await step('shows the lease', () => fly.Machine.getLease(it))).data.nonce, lease.data.nonce)
  await rejects('without the nonce nothing changes', 409, () => fly.Machine.cordonMachine(it))
  await new Promise(done => setTimeout(done, 3100))
  await step('cordons when the lease is over', () => fly.Machine.cordonMachine(it))
  await step('uncordons', () => fly.Machine.uncordonMachine(it))

  await step('stops it', () => fly.Machine.stopMachine({ ...it, timeout: '5s' }))
  await step('waits until it is stopped', () => waitFor('stopped', { instance_id: made.instance_id }))
  const again = await step('starts it', () => fly.Machine.startMachine(it))
  assert.strictEqual(again.previous_state, 'stopped')
  await step('waits again', () => waitFor('started'))
  const updated = await step('updates it', () => fly.Machine.updateMachine({
    ...it, config: { ...machine.config, env: { FROM: 'an update' } }
  }))
  assert.notStrictEqual(updated.instance_id, made.instance_id)
  await step('waits for the new version', () => waitFor('started', { instance_id: updated.instance_id }))
  await rejects('a running machine is not deleted', 412, () => fly.Machine.deleteMachine(it))
  await step('stops it again', () => fly.Machine.stopMachine(it))
  await step('waits until it is stopped again', () => waitFor('stopped', { instance_id: updated.instance_id }))
  await step('deletes it', () => fly.Machine.deleteMachine({ ...it, force: true }))
  await step('waits until it is destroyed', () => waitFor('destroyed', { instance_id: updated.instance_id }))
  await rejects('an unknown machine is not found', 404, () => fly.Machine.getMachine({ ...it, machine_id: '00000000000000' }))
  await step('deletes the app', () => fly.App.deleteApp(app))
  await rejects('the app is gone', 404, async () => {
    for (let i = 0; i < 50; i++) {
      await fly.App.getApp(app)
      await new Promise(done => setTimeout(done, 100))
    }
  })
}

main().catch(e => {
  console.error(e.stack)
  process.exit(1)
})
